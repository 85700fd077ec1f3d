"""underpass: open, guard, watch, prove and close tunnels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from underpass.library import Opening, PlainTunnel, open
    from underpass.model.errors import UnderpassError
    from underpass.model.options import OAuthOptions

__version__ = "0.1.0"

__all__ = ["OAuthOptions", "Opening", "PlainTunnel", "UnderpassError", "__version__", "open"]

_PLACES = {
    "OAuthOptions": "underpass.model.options",
    "Opening": "underpass.library",
    "PlainTunnel": "underpass.library",
    "open": "underpass.library",
    "UnderpassError": "underpass.model.errors",
}


def __getattr__(name: str) -> Any:
    # Lazily: the command line imports this package and must start in a fraction of a second.
    if name in _PLACES:
        import importlib

        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
