"""What the command line expects of ``underpass.assembly``, as ports; imported when a command runs.

``assembly`` imports all of the product, so nothing here imports it before a command needs it.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol, cast

from underpass.model.options import OpenOptions, RelayOptions
from underpass.model.spec import TunnelSpec
from underpass.model.status import TunnelStatus


class Revealable(Protocol):
    """A secret."""

    def reveal(self) -> str:
        """The secret itself."""


class Access(Protocol):
    """What a visitor needs to pass the gate."""

    @property
    def gate(self) -> str:
        """Kind of the gate: ``bearer``, ``basic``, ``link``; ``ip`` and ``public`` need nothing."""

    @property
    def token_file(self) -> Path | None:
        """Where the credential is written (0600)."""

    @property
    def token(self) -> Revealable | None:
        """The credential: a token, ``USER:PASSWORD``, or the link's whole URL."""


class OpenTunnel(Protocol):
    """A tunnel whose first proof has passed."""

    @property
    def access(self) -> Access: ...

    def status(self) -> TunnelStatus: ...

    def events(self) -> AsyncIterator[Mapping[str, object]]:
        """Changes from this call on, as ``TunnelChange.to_dict`` makes them, ``closed`` last."""

    @property
    def origin_exit_code(self) -> int | None:
        """Exit code of the program that ``--run`` started; None while it runs, and without one."""

    async def wait_closed(self) -> object:
        """Return when it is closed; raises what closed it if that is an error (superseded, key
        revoked, …) and not a close, a lease's end or the end of the origin's program."""

    async def close(self) -> None:
        """Close it: name, links, sockets, child and files. Idempotent; cancelled, it hurries."""


class RunningRelay(Protocol):
    """A relay that serves."""

    @property
    def public_url(self) -> str: ...

    @property
    def link_url(self) -> str: ...

    @property
    def enrol_token_file(self) -> Path | None: ...

    async def wait_closed(self) -> None: ...

    async def drain(self) -> None:
        """Tell connectors to move, let requests in flight finish, end. Idempotent."""

    async def close(self) -> None:
        """End everything at once. Idempotent."""

    async def reload(self) -> None:
        """Read certificates and authorised keys again; raises and keeps the old on a mistake."""


class Assembly(Protocol):
    """The module ``underpass.assembly``."""

    open_tunnel: Callable[[TunnelSpec, OpenOptions], Awaitable[OpenTunnel]]
    """Opens and proves; raises within ``options.timeout``, leaving nothing behind."""
    serve_relay: Callable[[RelayOptions], Awaitable[RunningRelay]]


def assembly() -> Assembly:
    """The module that puts everything together."""
    return cast(Assembly, importlib.import_module("underpass.assembly"))
