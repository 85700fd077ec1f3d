"""Ids and tokens of many clients over one process: each gets back its own, and nobody another's."""

from __future__ import annotations

import pytest
from mcp_types import (
    ErrorData,
    JSONRPCError,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
)

from underpass.bridge.correlation import SUBSCRIPTION, Correlation

pytestmark = pytest.mark.pure


def call(request_id: int | str, token: object = None, method: str = "tools/call") -> JSONRPCRequest:
    params = {"name": "x", "_meta": {"other": 1}}
    if token is not None:
        params["_meta"] = {"progressToken": token}
    return JSONRPCRequest(jsonrpc="2.0", id=request_id, method=method, params=params)


def notify(method: str, **params: object) -> JSONRPCNotification:
    return JSONRPCNotification(jsonrpc="2.0", method=method, params=params)


def test_equal_ids_and_tokens_of_two_clients_stay_apart():
    calls: Correlation[str] = Correlation()
    first, second = (calls.outgoing(call(1, "t"), owner) for owner in ("one", "two"))
    assert first.id != second.id
    assert first.params is not None
    assert first.params["_meta"]["progressToken"] == first.id
    step = notify("notifications/progress", progressToken=second.id, progress=1)
    told = calls.incoming(step)
    assert told is not None
    assert (told[0], told[2]) == ("two", False)
    assert told[1].model_dump()["params"] == {"progressToken": "t", "progress": 1}
    answer = calls.incoming(JSONRPCResponse(jsonrpc="2.0", id=first.id, result={"ok": 1}))
    assert answer is not None
    assert (answer[0], answer[1].id, answer[2]) == ("one", 1, True)
    error = ErrorData(code=-1, message="no")
    answer = calls.incoming(JSONRPCError(jsonrpc="2.0", id=second.id, error=error))
    assert answer is not None
    assert (answer[0], answer[1].id) == ("two", 1)
    assert len(calls) == 0


def test_what_belongs_to_nobody_reaches_nobody():
    calls: Correlation[str] = Correlation()
    calls.outgoing(call(1), "one")
    calls.outgoing(call(1), "two")
    for message in (
        JSONRPCResponse(jsonrpc="2.0", id=99, result={}),
        notify("notifications/progress", progressToken=99, progress=1),
        notify("notifications/message", level="info", data="whose?"),
        notify("notifications/x", _meta={SUBSCRIPTION: 99}),
    ):
        assert calls.incoming(message) is None


def test_a_log_line_during_the_only_call_is_that_calls():
    calls: Correlation[str] = Correlation()
    calls.outgoing(call(1, method="subscriptions/listen"), "listens")
    calls.outgoing(call(2), "calls")
    told = calls.incoming(notify("notifications/message", data="x"))
    assert told is not None
    assert told[0] == "calls"


def test_a_subscription_is_known_by_the_clients_own_id():
    calls: Correlation[str] = Correlation()
    listen = calls.outgoing(call("listen-1", method="subscriptions/listen"), "one")
    event = notify("notifications/resources/list_changed", _meta={SUBSCRIPTION: listen.id})
    told = calls.incoming(event)
    assert told is not None
    assert told[1].model_dump()["params"]["_meta"] == {SUBSCRIPTION: "listen-1"}
    result = {"_meta": {SUBSCRIPTION: listen.id}}
    told = calls.incoming(JSONRPCResponse(jsonrpc="2.0", id=listen.id, result=result))
    assert told is not None
    assert told[1].model_dump()["result"]["_meta"] == {SUBSCRIPTION: "listen-1"}


def test_who_has_left_is_forgotten_under_the_number_that_the_process_knows():
    calls: Correlation[str] = Correlation()
    number = calls.outgoing(call(1), "one").id
    assert calls.forget("one") == number
    assert calls.forget("one") is None
    assert calls.incoming(JSONRPCResponse(jsonrpc="2.0", id=number, result={})) is None
    calls.outgoing(call("a"), "two")
    assert calls.take_all() == [("two", "a")]
    assert len(calls) == 0
