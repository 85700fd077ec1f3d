"""Where the traffic of a tunnel ends: the text of an origin.

    3001                          http://localhost:3001
    localhost:3001                the same, host said
    [::1]:3001                    the same, over IPv6
    http://127.0.0.1:8080         plain HTTP
    http://app.internal/base      port 80; every path lands below /base
    tcp://127.0.0.1:5432          bytes
    unix:///run/app.sock          HTTP over a Unix socket
    tcp+unix:///run/pg.sock       bytes over a Unix socket
    mcp+http://localhost:3001/mcp a Model Context Protocol server over HTTP
    mcp+unix:///run/mcp.sock      the same over a Unix socket
    mcp+stdio:uvx some-server -v  the same over its stdin and stdout, started by us

Parsing validates; ``str`` gives back what was written. A host is only checked for its form here:
which address it leads to is decided, and judged, after resolution (``guard.control_ports``).
There is no ``https``: TLS of an origin is carried by ``tcp://`` and ends there. The words of a
command are split as a shell would split them, and no shell reads them.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from underpass.model.errors_spec import (
    OptionConflict,
    OriginHasCredentials,
    OriginMalformed,
    PortOutOfRange,
    UnknownScheme,
)


class Kind(StrEnum):
    """What a tunnel carries."""

    HTTP = "http"
    MCP = "mcp"
    TCP = "tcp"


class _Shape(StrEnum):
    WEB = "web"
    BYTES = "bytes"
    SOCKET = "socket"
    COMMAND = "command"


_SCHEMES: Final[dict[str, tuple[Kind, _Shape]]] = {
    "http": (Kind.HTTP, _Shape.WEB),
    "mcp+http": (Kind.MCP, _Shape.WEB),
    "tcp": (Kind.TCP, _Shape.BYTES),
    "unix": (Kind.HTTP, _Shape.SOCKET),
    "tcp+unix": (Kind.TCP, _Shape.SOCKET),
    "mcp+unix": (Kind.MCP, _Shape.SOCKET),
    "mcp+stdio": (Kind.MCP, _Shape.COMMAND),
}

_SOCKETS: Final = frozenset({"unix", "tcp+unix", "mcp+unix"})
_STDIO: Final = "mcp+stdio:"
_LONGEST_TEXT: Final = 2_048
_LONGEST_SOCKET: Final = 103
# sun_path holds 104 bytes on macOS and 108 on Linux, each with the closing NUL.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)")
_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2}|/)*")
_DOTS = re.compile(r"(?:\.|%2[eE]){1,2}")


@dataclass(frozen=True, slots=True, repr=False)
class Origin:
    """One local service. Made by ``parse_origin``; ``str`` gives back the text."""

    scheme: str
    host: str
    """Host name or address, without brackets; "" for a Unix socket."""
    port: int
    """0 for a Unix socket."""
    path: str
    """Base path that begins with / and does not end with one, or ""."""
    socket: str
    """Absolute path of the Unix socket, or ""."""
    text: str
    """What the user wrote."""
    command: tuple[str, ...] = ()
    """Program and arguments of a server that speaks over its stdin and stdout, or ()."""

    @property
    def is_unix(self) -> bool:
        """Whether the service listens on a Unix socket."""
        return bool(self.socket)

    @property
    def kind(self) -> Kind:
        """The kind of tunnel that this origin asks for."""
        return _SCHEMES[self.scheme][0]

    @property
    def address(self) -> str:
        """``host:port`` (brackets around IPv6), the socket's path, or the program's name: for
        sentences and Host."""
        if self.socket:
            return self.socket
        if self.command:
            return self.command[0].rpartition("/")[2]
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Origin({self.text!r})"


def parse_origin(text: str) -> Origin:
    """Parse the text of an origin.

    Raises ``UnknownScheme``, ``OriginMalformed``, ``PortOutOfRange`` or ``OriginHasCredentials``.
    """
    if not 0 < len(text) <= _LONGEST_TEXT:
        raise OriginMalformed(text=text[:80], why="it is empty or longer than 2048 characters")
    if not text.isprintable():
        raise OriginMalformed(text=text, why="it holds a control character")
    if text[: len(_STDIO)].lower() == _STDIO:
        return _stdio(text, text[len(_STDIO) :])
    match = _SCHEME.fullmatch(text)
    scheme, rest = (match[1].lower(), match[2]) if match else ("http", text)
    if "@" in (re.split(r"[/?#]", rest, maxsplit=1)[0] if match else text):
        raise OriginHasCredentials
    if re.search(r"[?#]", rest) and scheme not in _SOCKETS:
        # Not repeated beyond the mark: keys are often found in queries.
        shown = re.split(r"[?#]", text, maxsplit=1)[0]
        raise OriginMalformed(text=shown, why="an origin has no query and no fragment")
    if scheme not in _SCHEMES:
        raise UnknownScheme(text=text, scheme=scheme)
    shape = _SCHEMES[scheme][1]
    if shape is _Shape.SOCKET:
        return Origin(scheme, "", 0, "", _socket_path(text, rest), text)
    if match is None and text.isdecimal():
        return Origin(scheme, "localhost", _port(text, text), "", "", text)
    if match is not None and shape is _Shape.WEB:
        authority, slash, path = rest.partition("/")
        host, port = _authority(text, authority, default=80)
        return Origin(scheme, host, port, _base_path(text, slash + path), "", text)
    host, port = _authority(text, rest, default=None)
    return Origin(scheme, host, port, "", "", text)


def as_mcp(origin: Origin) -> Origin:
    """The same service as a Model Context Protocol server; raises ``OptionConflict`` for bytes."""
    if origin.kind is Kind.MCP:
        return origin
    if origin.kind is Kind.TCP:
        raise OptionConflict(option="--mcp", kind="tcp", why="it speaks of HTTP")
    if origin.is_unix:
        return parse_origin(f"mcp+unix://{origin.socket}")
    return parse_origin(f"mcp+http://{origin.address}{origin.path}")


def _stdio(text: str, line: str) -> Origin:
    try:
        words = tuple(shlex.split(line))
    except ValueError as error:
        why = f"the command cannot be split: {str(error).lower()}"
        raise OriginMalformed(text=text, why=why) from None
    if not words or not words[0] or words[0].startswith(("-", "//")):
        raise OriginMalformed(text=text, why="a program and its arguments stand behind the colon")
    return Origin("mcp+stdio", "", 0, "", "", text, words)


def _authority(text: str, authority: str, *, default: int | None) -> tuple[str, int]:
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        host, port = authority, ""
        if default is None:
            raise OriginMalformed(text=text, why="the port is missing")
    elif not port:
        raise OriginMalformed(text=text, why="the port is missing")
    number = _port(text, port) if port else default or 0
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(host[1:-1])), number
        except ValueError:
            raise OriginMalformed(text=text, why="no IPv6 address stands in the brackets") from None
    if not _HOST.fullmatch(host) or ".." in host:
        raise OriginMalformed(text=text, why="the host is no name and no address")
    return host, number


def _port(text: str, port: str) -> int:
    if not (port.isascii() and port.isdecimal()):
        raise OriginMalformed(text=text, why=f"the port {port!r} is no number")
    if port.startswith("0") and port != "0":
        raise OriginMalformed(text=text, why=f"the port {port[:12]!r} begins with a zero")
    if len(port) > 5 or not 1 <= int(port) <= 65_535:
        raise PortOutOfRange(text=text, port=port[:12])
    return int(port)


def _base_path(text: str, path: str) -> str:
    if path in {"", "/"}:
        return ""
    segments = path.removesuffix("/").split("/")[1:]
    if not _PATH.fullmatch(path) or "" in segments or any(map(_DOTS.fullmatch, segments)):
        raise OriginMalformed(text=text, why="the base path is not a plain one")
    return path.removesuffix("/")


def _socket_path(text: str, path: str) -> str:
    if not path.startswith("/") or path.endswith("/") or path.startswith("//"):
        raise OriginMalformed(text=text, why="a socket is named by its absolute path")
    if len(path.encode()) > _LONGEST_SOCKET:
        raise OriginMalformed(text=text, why=f"the path is longer than {_LONGEST_SOCKET} bytes")
    return path
