"""Programs that carry tunnels and have no driver here, known by their words: frpc, chisel and
localtunnel's client. Pure. Of words that may be secrets nothing is told."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from underpass.drivers.others import NO_GATE

Words = Sequence[str]

_ADDRESS: Final = re.compile(
    r"(?:\d{1,5}|[A-Za-z0-9*._\[\]:-]{1,255}:\d{1,5}|socks)(?:/(?:tcp|udp))?"
)
_SERVER: Final = re.compile(
    r"(?:(?:https?|wss?)://)?(?:[^@/\s]{1,255}@)?([A-Za-z0-9._\[\]:-]{1,255})"
)


@dataclass(frozen=True, slots=True)
class Carried:
    """One tunnel, as the words say it."""

    engine: str
    exposes: str
    public: str = ""
    risks: tuple[str, ...] = (NO_GATE,)


def read_peer(name: str, words: Words) -> list[Carried]:
    """The tunnels that a program of this name with these words, its own first, carries."""
    reader = _READERS.get(name)
    if reader is not None:
        return reader(words[1:])
    at = next((at for at, word in enumerate(words[:3]) if _is_localtunnel(word)), None)
    return [] if at is None else _read_localtunnel(words[at + 1 :])


def _read_frpc(words: Words) -> list[Carried]:
    told = _options(words, {"-c": "--config", "-s": "--server-addr", "-l": "--local-port"})
    kind = told.get("", "")
    if not kind:
        return [Carried("frp", f"what its configuration says: {told.get('--config', 'frpc.ini')}")]
    if kind not in _FRP_KINDS:
        return []  # it asks another frpc, or checks a file
    server = host_of(told.get("--server-addr", ""))
    host, port = told.get("--local-ip", "127.0.0.1"), told.get("--local-port", "?")
    return [Carried("frp", f"{host}:{port}", server)]


_FRP_KINDS: Final = frozenset(("http", "https", "stcp", "sudp", "tcp", "tcpmux", "udp", "xtcp"))


def _read_chisel(words: Words) -> list[Carried]:
    if "client" not in words[:1]:
        return []
    plain = _plain_words(words[1:], _CHISEL_FLAGS)
    if not plain:
        return []
    server, found = host_of(plain[0]), []
    for remote in plain[1:]:
        is_reverse = remote.startswith("R:")
        fields = remote.removeprefix("R:")
        if not _ADDRESS.fullmatch(fields.rpartition(":")[2]) and fields != "socks":
            continue
        parts = fields.split(":")
        listens = ":".join(parts[:-2]) or parts[0]
        target = ":".join(parts[-2:])
        if is_reverse:
            what = "every address from here, by SOCKS" if parts[-1] == "socks" else target
            found.append(Carried("chisel", what, f"{server} {listens}"))
        else:
            what = f"every address that {server} reaches, by SOCKS"
            what = what if parts[-1] == "socks" else f"{target} as {server} sees it"
            found.append(Carried("chisel", what, listens, ()))
    return found


_CHISEL_FLAGS: Final = frozenset(
    (
        *("--fingerprint", "--auth", "--keepalive", "--max-retry-count", "--max-retry-interval"),
        *("--proxy", "--header", "--hostname", "--sni", "--tls-ca", "--tls-key", "--tls-cert"),
    )
)


def _read_localtunnel(words: Words) -> list[Carried]:
    short = {"-p": "--port", "-h": "--host", "-s": "--subdomain", "-l": "--local-host"}
    told = _options(words, short)
    if "--port" not in told:
        return []
    name, server = told.get("--subdomain", ""), host_of(told.get("--host", "")) or "localtunnel.me"
    local = f"{told.get('--local-host', 'localhost')}:{told['--port']}"
    return [Carried("localtunnel", local, f"{name}.{server}" if name else server)]


def _is_localtunnel(word: str) -> bool:
    return os.path.basename(word) == "lt" or word.endswith("localtunnel/bin/lt.js")


_READERS: Final[dict[str, Callable[[Words], list[Carried]]]] = {
    "frpc": _read_frpc,
    "chisel": _read_chisel,
}


def host_of(text: str) -> str:
    """Host and port in a URL, without a user, a password or a path; "" for what is none."""
    match = _SERVER.match(text)
    return match[1] if match else ""


def _options(words: Words, short: dict[str, str]) -> dict[str, str]:
    """Values by option; the first plain word under ""."""
    found: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        key, equals, value = word.partition("=")
        if key.startswith("-"):
            # frp writes its options with dashes and with underlines.
            found[short.get(key, key.replace("_", "-"))] = value if equals else next(rest, "")
        else:
            found.setdefault("", word)
    return found


def _plain_words(words: Words, valued: frozenset[str]) -> list[str]:
    found = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            found.append(word)
        elif f"--{word.lstrip('-')}" in valued:
            next(rest, "")
    return found
