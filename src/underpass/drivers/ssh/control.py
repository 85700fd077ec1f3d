"""A running ssh as a control interface: forwards added and taken away without a new connection.

Its master listens on a Unix socket; ``ssh -O`` talks to it. What that says is believed only after a
look: ``cancel`` ends with 0 also when it failed, and a forward may listen where nobody wants it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from underpass.drivers.errors import EngineAway, EngineOptionInvalid
from underpass.drivers.process import run_to_end

COMMAND_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 3.0

_MASTER: Final = re.compile(r"Master running \(pid=(\d+)\)")
_FAILED: Final = re.compile(r"request failed|port not forwarded|forwarding request failed")
_SPEC: Final = re.compile(
    r"(?:(?:127\.0\.0\.1|\[::1\]|0\.0\.0\.0|\[::\]):\d{1,5}|(?P<path>/[A-Za-z0-9._/-]{1,107}))"
    r"(?::[A-Za-z0-9._\[\]:/-]+)?"
)


@dataclass(frozen=True, slots=True)
class Forward:
    """One forward of a master. Pure."""

    kind: str
    """``L``, ``R`` or ``D``, as ssh's option is called."""
    spec: str
    """As ssh takes it, with its bind address: ``127.0.0.1:8080:127.0.0.1:80``, or for ``L`` with
    the path of a Unix socket in its place."""

    def __post_init__(self) -> None:
        match = _SPEC.fullmatch(self.spec)
        if self.kind not in ("L", "R", "D") or not match or (match["path"] and self.kind != "L"):
            why = "it begins with an address to listen at and a port: 127.0.0.1:8080:HOST:PORT"
            raise EngineOptionInvalid("ssh", "forward", why)

    @property
    def listens(self) -> tuple[str, int] | Path:
        """Where it listens: here for ``L`` and ``D``, at the far host for ``R``."""
        if self.spec.startswith("/"):
            return Path(self.spec.partition(":")[0])
        if self.spec.startswith("["):
            host, _, rest = self.spec[1:].partition("]:")
        else:
            host, _, rest = self.spec.partition(":")
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), int(rest.split(":")[0])


class ControlMaster:
    """The control interface of one running ssh. Every call is a short process."""

    def __init__(
        self, control: Path, configuration: Path, hop: str, environment: Mapping[str, str]
    ) -> None:
        self.control = control
        """Its socket."""
        self.configuration = configuration
        self.hop = hop
        self._environment = environment

    async def check(self) -> int | None:
        """Process id of the master; None when there is none that answers."""
        _, lines = await self._ask("check")
        found = next((match for line in lines if (match := _MASTER.search(line))), None)
        return None if found is None else int(found[1])

    async def forward(self, forward: Forward) -> int:
        """Add it; returns the port it listens at, 0 for a Unix socket, seen to listen.

        Raises ``EngineAway`` when it does not.
        """
        code, lines = await self._ask("forward", f"-{forward.kind}", forward.spec)
        at = forward.listens
        if not isinstance(at, Path) and code == 0 and at[1] == 0:
            at = (at[0], next((int(line) for line in lines if line.strip().isdigit()), 0))
        port = 0 if isinstance(at, Path) else at[1]
        is_known = isinstance(at, Path) or port
        if code or not is_known or not await self._listens(forward.kind, at):
            raise EngineAway("ssh", "forward-refused", _last(lines) or "it does not listen")
        return port

    async def cancel(self, forward: Forward, port: int = 0) -> None:
        """Take it away, with the words by which it was added; ``port`` is the one it was given
        when it asked for any.

        Raises ``EngineAway`` when it still listens, or never did.
        """
        _, lines = await self._ask("cancel", f"-{forward.kind}", forward.spec)
        at = forward.listens
        if not isinstance(at, Path):
            at = (at[0], port or at[1])
        failed = any(_FAILED.search(line) for line in lines)
        if failed or await self._listens(forward.kind, at):
            raise EngineAway("ssh", "cancel-refused", _last(lines) or "it still listens")

    async def exit(self) -> None:
        """End the master and every forward. Idempotent."""
        await self._ask("exit")

    async def _ask(self, command: str, *words: str) -> tuple[int, list[str]]:
        return await run_to_end(
            (*self._ssh(), "-O", command, *words, self.hop),
            environment=self._environment,
            directory=self.configuration.parent,
            seconds=COMMAND_SECONDS,
        )

    async def _listens(self, kind: str, at: tuple[str, int] | Path) -> bool:
        if kind != "R" or isinstance(at, Path):
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    if isinstance(at, Path):
                        _, writer = await asyncio.open_unix_connection(at)
                    else:
                        _, writer = await asyncio.open_connection(*at)
                writer.transport.abort()
                return True
            return False
        # From the far host: what is refused there ends at once with 255, what listens goes on.
        host, port = at
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        code, _ = await run_to_end(
            (*self._ssh(), "-o", "ControlMaster=no", "-W", target, self.hop),
            environment=self._environment,
            directory=self.configuration.parent,
            seconds=LOOK_SECONDS,
        )
        return code in (0, 124)

    def _ssh(self) -> tuple[str, ...]:
        return ("ssh", "-F", str(self.configuration), "-S", str(self.control), "-T")


def _last(lines: list[str]) -> str:
    return next((line for line in reversed(lines) if line.strip() and line.isprintable()), "")
