"""Under which Host and Origin values a tunnel is public: plain text, compared whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


def public_names(urls: Iterable[str], tunnel: str) -> tuple[frozenset[bytes], frozenset[bytes]]:
    """Host values and Origin values, in lower case, that belong to ``urls``.

    A loopback URL is also known as ``localhost`` and ``TUNNEL.localhost`` with the same port
    (DESIGN.md, How a request travels); a default port may be said or left out in Host.
    """
    hosts: set[str] = set()
    origins: set[str] = set()
    for url in urls:
        parts = urlsplit(url)
        names = [parts.hostname or ""]
        if names[0] == "127.0.0.1":
            names += ["localhost", f"{tunnel}.localhost"]
        default = _DEFAULT_PORTS.get(parts.scheme)
        port = parts.port or default
        for name in names:
            bare = f"[{name}]" if ":" in name else name
            hosts.add(f"{bare}:{port}")
            if port == default:
                hosts.add(bare)
                origins.add(f"{parts.scheme}://{bare}")
            else:
                origins.add(f"{parts.scheme}://{bare}:{port}")
    return (
        frozenset(host.lower().encode() for host in hosts),
        frozenset(origin.lower().encode() for origin in origins),
    )
