"""What a user chooses for the WireGuard engine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from underpass.drivers.errors import EngineOptionInvalid
from underpass.drivers.wireguard.host_files import HostFiles
from underpass.drivers.wireguard.place import is_namespace_name

MODES: Final = ("auto", "kernel", "wireguard-go", "rootless")
KNOWN: Final = (
    "topology",
    "host",
    "keys",
    "port",
    "listen",
    "mode",
    "witness",
    "interface",
    "netns",
)

_INTERFACE: Final = re.compile(r"[a-z][a-z0-9_-]{0,14}", re.ASCII)
# What Linux and wg take is wider; this cannot be read as an option, a path or a rule.
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class WireGuardSettings:
    """Everything the user chose."""

    topology: Path
    host: str
    keys: Path
    port: int = 0
    listen: int | None = None
    mode: str = "auto"
    witness: str = ""
    interface: str = ""
    netns: str = ""

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> WireGuardSettings:
        """Read and judge. Raises ``EngineOptionInvalid``."""
        for key in options:
            if key not in (*KNOWN, "via"):
                raise _invalid(key, "known are " + ", ".join(KNOWN))
        host, topology = options.get("host", ""), options.get("topology", "")
        if "via" in options:
            # HOST@FILE in one word: --via wireguard:laptop@agents.toml
            before, at, after = options["via"].partition("@")
            if not at:
                raise _invalid("via", "it is HOST@FILE: which host this is, and the topology")
            host, topology = host or before, topology or after
        if not host or not topology:
            missing = "topology" if not topology else "host"
            raise _invalid(missing, "it is needed: --via wireguard:HOST@FILE")
        if not _HOST.fullmatch(host):
            raise _invalid("host", "it is a host of the topology: a-z, 0-9 and -")
        path = _path("topology", topology)
        keys = _path("keys", options["keys"]) if "keys" in options else _beside(path)
        mode = options.get("mode", "auto")
        if mode not in MODES:
            raise _invalid("mode", "it is one of " + ", ".join(MODES))
        witness = options.get("witness", "")
        if witness and not _HOST.fullmatch(witness):
            raise _invalid("witness", "it is a host of the topology: a-z, 0-9 and -")
        interface, netns = options.get("interface", ""), options.get("netns", "")
        if interface and not is_interface_name(interface):
            raise _invalid("interface", "it is 1 to 15 of a-z, 0-9, _ and -, a letter first")
        if netns and not is_namespace_name(netns):
            raise _invalid("netns", "it is the name of a network namespace")
        return cls(
            path,
            host,
            keys,
            _port("port", options.get("port", "0")),
            _port("listen", options["listen"]) if "listen" in options else None,
            mode,
            witness,
            interface,
            netns,
        )

    @property
    def files(self) -> HostFiles:
        """Where this host's part is written down."""
        return HostFiles(self.topology, self.keys, self.host)


def is_interface_name(text: str) -> bool:
    """Whether ``text`` is a name that an interface of ours may have."""
    return _INTERFACE.fullmatch(text) is not None


def _beside(path: Path) -> Path:
    return path.with_name(path.stem + ".keys")


def _path(option: str, text: str) -> Path:
    if not text or not text.isprintable() or text.startswith("-") or len(text) > 1_024:
        raise _invalid(option, "it is a file's path")
    path = Path(text).expanduser() if text.startswith("~/") else Path(text)
    if not path.name:
        raise _invalid(option, "it is a file's path")
    return path.absolute()


def _port(option: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) < 65_536):
        raise _invalid(option, "it lies between 0 and 65535")
    return int(text)


def _invalid(option: str, why: str) -> EngineOptionInvalid:
    return EngineOptionInvalid(engine="wireguard", option=option[:40], why=why)
