"""Asking whether a server of the Model Context Protocol lists its tools to strangers. Pure.

In the words of each of its three transports. What is sent changes nothing: ``tools/list`` reads,
``initialize`` begins a session that is ended at once, ``ping``-like notifications are not answered.
No tool is called.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from underpass.guard.preflight.findings import AGENTS, Finding
from underpass.guard.preflight.seen import Seen
from underpass.http.messages import Headers

PATHS: Final = ("/mcp", "/")
"""Where servers listen that were not declared as such."""
BRIDGED_PATH: Final = "/mcp"
"""Where our bridge serves a server that speaks over its stdin and stdout."""
EVENTS_PATHS: Final = ("/sse",)
"""Where those of the oldest transport do."""

_CLIENT: Final = {"name": "underpass-preflight", "version": "1"}
_SESSIONS_VERSION: Final = "2025-06-18"
# The version that both older and newer servers of the era still take.
_EVENTS_VERSION: Final = "2024-11-05"
_STATELESS_VERSION: Final = "2026-07-28"
_BOTH: Final[Headers] = [
    (b"Content-Type", b"application/json"),
    (b"Accept", b"application/json, text/event-stream"),
]
_META: Final = "io.modelcontextprotocol/"
_NO_SUCH_METHOD: Final = -32601

LISTENS: Final[Headers] = [(b"Accept", b"text/event-stream")]

_ENDPOINT: Final = re.compile(
    rb"event: ?endpoint(?:\r\n|\r|\n)data: ?(/[!-~]{0,1000})(?:\r\n|\r|\n)"
)
_DATA: Final = re.compile(rb"(?m)^data: ?(.*)$")


def stateless_list() -> tuple[Headers, bytes]:
    """``tools/list`` as it stands alone since 2026."""
    meta = {
        _META + "protocolVersion": _STATELESS_VERSION,
        _META + "clientInfo": _CLIENT,
        _META + "clientCapabilities": {},
    }
    fields = [
        (b"MCP-Protocol-Version", _STATELESS_VERSION.encode()),
        (b"Mcp-Method", b"tools/list"),
    ]
    return [*_BOTH, *fields], _call("tools/list", 1, {"_meta": meta})


def initialize(*, is_oldest: bool = False) -> tuple[Headers, bytes]:
    """The handshake of the transports before."""
    version = _EVENTS_VERSION if is_oldest else _SESSIONS_VERSION
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": _CLIENT}
    return list(_BOTH), _call("initialize", 1, params)


def initialized(session: bytes) -> tuple[Headers, bytes]:
    """The handshake's end."""
    told = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    return _in_session(session), msgspec.json.encode(told)


def session_list(session: bytes) -> tuple[Headers, bytes]:
    """``tools/list`` in a session."""
    return _in_session(session), _call("tools/list", 2, {})


def end_session(session: bytes) -> Headers:
    """The fields of the DELETE that ends a session."""
    return [field for field in _in_session(session) if field[0] != b"Content-Type"]


def speaks_mcp(seen: Seen) -> bool:
    """Whether a GET that asked for events was answered as such servers do: by events, or by an
    error that is none of a missing page. Decides whether a POST may be sent to where no name says
    that one is expected."""
    if seen.status == 200:
        return seen.header("content-type").startswith(b"text/event-stream")
    return seen.status in (400, 405, 406)


def is_answer(data: bytes, number: int) -> bool:
    """Whether ``data``, JSON or events, holds the answer to the request ``number``."""
    return _answer(data, number) is not None


def endpoint_in(data: bytes) -> bytes | None:
    """The path that the oldest transport's first event announces, once it is whole."""
    match = _ENDPOINT.search(data)
    return match[1] if match else None


def find_tools(data: bytes, number: int, where: str) -> Finding | None:
    """What an answer to ``tools/list`` shows: its tools, if it has answered."""
    answer = _answer(data, number)
    result = answer.get("result") if answer else None
    tools = result.get("tools") if isinstance(result, dict) else None
    if not isinstance(tools, list):
        return None
    names = [str(tool.get("name", "?"))[:40] for tool in tools if isinstance(tool, dict)]
    shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    seen = f"{len(tools)} tool{'' if len(tools) == 1 else 's'}" + (f": {shown}" if shown else "")
    what = "an MCP server that lists its tools to strangers"
    return Finding("mcp-tools", what, where, seen, AGENTS)


def is_judged(data: bytes, number: int) -> bool:
    """Whether ``data`` is an answer to what the request ``number`` asked, be it that there is no
    such thing: whoever answers so has asked nobody who they are."""
    answer = _answer(data, number) or {}
    error = answer.get("error")
    return "result" in answer or (isinstance(error, dict) and error.get("code") == _NO_SUCH_METHOD)


def bridged_finding(path: str) -> Finding:
    """What is said of a server behind our own bridge."""
    what = "an MCP server over stdin and stdout, which has no way to ask strangers for a token"
    return Finding("mcp-tools", what, f"POST {path}", "the origin's scheme, mcp+stdio", AGENTS)


def _answer(data: bytes, number: int) -> dict[str, Any] | None:
    for part in (data, *_events(data)):
        try:
            decoded = msgspec.json.decode(part)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if isinstance(decoded, dict) and decoded.get("id") == number and "method" not in decoded:
            return decoded
    return None


def _events(data: bytes) -> Iterator[bytes]:
    return (match[1].strip() for match in _DATA.finditer(data.replace(b"\r", b"\n")))


def _in_session(session: bytes) -> Headers:
    fields = [(b"MCP-Protocol-Version", _SESSIONS_VERSION.encode())]
    return [*_BOTH, *fields, *([(b"Mcp-Session-Id", session)] if session else [])]


def _call(method: str, number: int, params: dict[str, Any]) -> bytes:
    asked = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    return msgspec.json.encode(asked)
