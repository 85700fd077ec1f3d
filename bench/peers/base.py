"""What every peer offers: a server on the public side, and tunnels through it to an origin."""

from __future__ import annotations

import itertools
import os
import ssl
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from bench.origins import Origins
from bench.processes import Program
from bench.visitor import Door, is_served

Address = tuple[str, int]


@dataclass(slots=True)
class Workplace:
    """Where peers find and put things."""

    folder: Path
    """Scratch for configurations, logs and state; deleted after the run."""
    origins: Origins
    certificate: Path
    """A certificate for `*.bench.test`, signed by itself."""
    key: Path
    hosts: Path
    """A hosts file in which the names of `bench.test` are 127.0.0.1."""
    _files: itertools.count[int] = field(default_factory=itertools.count)
    _names: itertools.count[int] = field(default_factory=itertools.count)

    def path(self, name: str) -> Path:
        """A path of its own for each call."""
        return self.folder / f"{next(self._files):04d}-{name}"

    def name(self) -> str:
        """A label below `bench.test` of its own for each call."""
        return name_of(next(self._names))


def name_of(number: int) -> str:
    """The `number`-th label; all of them are in the hosts file."""
    return f"t{number:04d}"


@dataclass(slots=True)
class Tunnel:
    """One tunnel that serves."""

    door: Door
    """Where visitors go in."""
    client: Program | None
    """The process on the origin's side; None for no tunnel at all."""

    def stop(self) -> None:
        if self.client is not None:
            self.client.stop()


class Peer(ABC):
    """One way to reach an origin. Made, then `start_server`, then any number of `open`."""

    name: ClassVar[str]
    carries: ClassVar[frozenset[str]] = frozenset({"tcp", "http"})
    """`tcp`: any bytes; `http`: requests."""
    note: ClassVar[str] = ""
    """What a reader of the table has to know."""

    def __init__(self, workplace: Workplace) -> None:
        self.workplace = workplace
        self.server: Program | None = None

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot be measured on this machine, or None."""
        return None

    @abstractmethod
    def start_server(self) -> None:
        """Starts the public side; returns when it accepts links. Also after `kill_server`, on the
        same addresses with the same state."""

    @property
    @abstractmethod
    def link_address(self) -> Address:
        """Where clients link to, when no fault proxy stands between."""

    @abstractmethod
    def start_client(self, origin_port: int, link: Address) -> Tunnel:
        """Starts the origin's side with a link to `link`; does not wait until it serves."""

    def proxied_link(self) -> Address:
        """Where a fault proxy for the link has to listen; port 0 is any."""
        return "127.0.0.1", 0

    def open(self, kind: str, link: Address | None = None) -> Tunnel:
        """A tunnel to the `tcp` or `http` origin that has served its first visitor."""
        origins = self.workplace.origins
        port = origins.tcp_port if kind == "tcp" else origins.http_port
        tunnel = self.start_client(port, link or self.link_address)
        try:
            if tunnel.client is not None:
                tunnel.client.wait_until(lambda: is_served(tunnel.door, kind))
        except BaseException:
            tunnel.stop()
            raise
        return tunnel

    def kill_server(self) -> None:
        """SIGKILL, as a crash."""
        if self.server is not None:
            self.server.kill()

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop()

    def program(
        self, name: str, *argv: str, environment: Mapping[str, str] | None = None
    ) -> Program:
        """Starts a program of this peer, with a log named after it."""
        return Program(argv, self.workplace.path(f"{name}.log"), environment=environment)


def engine(program: str) -> str | None:
    """The path of a program that `make engines` has built, or None."""
    chosen = os.environ.get("UNDERPASS_ENGINES")
    cache = Path(chosen) if chosen else Path.home() / ".cache" / "underpass" / "engines"
    path = cache / "bin" / program
    return str(path) if path.is_file() else None


def engine_path(program: str) -> str:
    """The same, once `missing` has said that it is there."""
    path = engine(program)
    assert path is not None
    return path


def missing_engine(program: str) -> str | None:
    return None if engine(program) else f"{program} is missing: make engines"


def trusting(certificate: Path) -> ssl.SSLContext:
    """A visitor's TLS that trusts the benchmark's certificate."""
    return ssl.create_default_context(cafile=str(certificate))
