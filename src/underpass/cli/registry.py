"""The relay's memory, opened beside a relay that may be serving from it.

SQLite lets both work; a relay that serves sees within seconds that something changed, and cuts
what is no longer allowed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from underpass.cli.errors import NoRelayHere
from underpass.cli.options import Decorated
from underpass.relay.server.errors import KeyNotFound
from underpass.relay.server.key_text import fingerprint, key_text
from underpass.relay.server.registry import KeyRecord, Registry

Answer = TypeVar("Answer")

DATABASE = "relay.db"


def state_option(function: Decorated) -> Decorated:
    """``--state DIR``, as ``relay serve`` has it."""
    return click.option(
        "--state",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        envvar="UNDERPASS_RELAY__SERVE__STATE",
        help="The relay's state directory. Default: the state directory's relay/.",
    )(function)


def with_registry(state: Path | None, work: Callable[[Registry], Awaitable[Answer]]) -> Answer:
    """Run ``work`` on the registry in ``state``; raises ``NoRelayHere`` when there is none."""
    import asyncio

    from underpass.api.places import require_private, state_dir
    from underpass.relay.server.sqlite_registry import open_registry

    directory = state or state_dir() / "relay"
    if not (directory / DATABASE).is_file():
        raise NoRelayHere(str(directory))
    require_private(directory)

    async def opened() -> Answer:
        registry = open_registry(directory / DATABASE)
        try:
            return await work(registry)
        finally:
            await registry.close()

    return asyncio.run(opened())


async def find_key(registry: Registry, text: str) -> KeyRecord:
    """The one key that ``text`` names: whole, by fingerprint or its beginning, or by label."""
    keys = await registry.keys()
    exact = [key for key in keys if text in (key_text(key.public), key.label)]
    begun = [key for key in keys if _begins(fingerprint(key.public), text)]
    for matching in (exact, begun):
        if len(matching) == 1:
            return matching[0]
        if matching:
            raise KeyNotFound(f"{text} alone ({len(matching)} do)")
    raise KeyNotFound(text)


def key_object(key: KeyRecord) -> dict[str, Any]:
    """One key, for ``--json``."""
    return {
        "key": key_text(key.public),
        "fingerprint": fingerprint(key.public),
        "label": key.label,
        "enrolled_at": key.enrolled_at,
        "revoked_at": key.revoked_at,
    }


def _begins(whole: str, text: str) -> bool:
    shown = text.removeprefix("SHA256:")
    return len(shown) >= 6 and whole.removeprefix("SHA256:").startswith(shown)
