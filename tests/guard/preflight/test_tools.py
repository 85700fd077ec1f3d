"""Reading what MCP servers answer to ``tools/list``, in JSON and in events."""

from __future__ import annotations

import pytest

from underpass.guard.preflight.seen import Seen
from underpass.guard.preflight.tools import endpoint_in, find_tools, is_answer, speaks_mcp

pytestmark = pytest.mark.pure

LISTED = b'{"jsonrpc":"2.0","id":2,"result":{"tools":[{"name":"shell"},{"name":"read"}]}}'


@pytest.mark.parametrize(
    "data",
    [LISTED, b"event: message\r\ndata: " + LISTED + b"\r\n\r\n", b"data:" + LISTED + b"\n\n"],
)
def test_listed_tools_are_a_finding_that_names_them(data: bytes):
    finding = find_tools(data, 2, "POST /mcp")
    assert finding is not None
    assert (finding.code, finding.seen) == ("mcp-tools", "2 tools: shell, read")


@pytest.mark.parametrize(
    "data",
    [
        b'{"tools":[{"name":"hammer"}]}',
        b'{"jsonrpc":"2.0","id":7,"result":{"tools":[]}}',
        b'{"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"Method not found"}}',
        b'{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{}}',  # an echo
        b'{"jsonrpc":"2.0","id":2,"result":{"tools":"none"}}',
        b"<html>tools</html>",
        b"",
    ],
)
def test_anything_else_is_none(data: bytes):
    assert find_tools(data, 2, "POST /mcp") is None


def test_an_answer_is_known_by_its_number():
    assert is_answer(LISTED, 2)
    assert not is_answer(LISTED, 1)
    assert not is_answer(LISTED[:-2], 2)


def test_the_oldest_transport_announces_where_to_post():
    event = b"event: endpoint\r\ndata: /messages/?session_id=abc\r\n\r\n"
    assert endpoint_in(event) == b"/messages/?session_id=abc"
    assert endpoint_in(event[:30]) is None
    assert endpoint_in(b"event: endpoint\ndata: http://elsewhere.example/\n\n") is None


@pytest.mark.parametrize(
    ("status", "kind", "is_one"),
    [
        (200, b"text/event-stream; charset=utf-8", True),
        (405, b"application/json", True),
        (406, b"application/json", True),
        (400, b"application/json", True),
        (200, b"text/html", False),
        (404, b"text/html", False),
        (302, b"", False),
        (401, b"application/json", False),
    ],
)
def test_a_post_is_sent_only_where_a_get_was_answered_as_a_server_would(
    status: int, kind: bytes, is_one: bool
):
    assert speaks_mcp(Seen("mcp", "/", status, [(b"Content-Type", kind)])) is is_one
