"""Many requests of many clients over one process: ids given by us, and given back. Pure.

Two clients may choose the same id, or the same progress token. On the way to the process each
request gets a number of ours; on the way back the client's own returns wherever a message names
it: in the answer, in progress, in what a subscription delivers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mcp_types import (
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)

SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"

T = TypeVar("T")


@dataclass(slots=True)
class _Entry(Generic[T]):
    owner: T
    id: RequestId
    token: Any
    listens: bool


class Correlation(Generic[T]):
    """The requests under way, each with its owner."""

    def __init__(self) -> None:
        self._entries: dict[RequestId, _Entry[T]] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._entries)

    def outgoing(self, request: JSONRPCRequest, owner: T) -> JSONRPCRequest:
        """``request`` as the process gets it."""
        self._last += 1
        number = self._last
        params = dict(request.params or {})
        meta = params.get("_meta")
        token = meta.get("progressToken") if isinstance(meta, dict) else None
        if isinstance(meta, dict) and token is not None:
            params["_meta"] = {**meta, "progressToken": number}
        listens = request.method == "subscriptions/listen"
        self._entries[number] = _Entry(owner, request.id, token, listens)
        return request.model_copy(update={"id": number, "params": params})

    def incoming(self, message: JSONRPCMessage) -> tuple[T, JSONRPCMessage, bool] | None:
        """Whose ``message`` is, as that client gets it, and whether it is the answer. None: no
        single request is meant, and nobody may be told what was not said to them."""
        if isinstance(message, (JSONRPCResponse, JSONRPCError)):
            entry = self._entries.pop(message.id, None) if message.id is not None else None
            if entry is None:
                return None
            update: dict[str, Any] = {"id": entry.id}
            if isinstance(message, JSONRPCResponse):
                update["result"] = _subscribed(message.result, entry)
            return entry.owner, message.model_copy(update=update), True
        if isinstance(message, JSONRPCNotification):
            return self._notified(message)
        return None

    def forget(self, owner: T) -> RequestId | None:
        """The client is gone; the number by which the process knows its request, if it has one."""
        for number, entry in self._entries.items():
            if entry.owner is owner:
                del self._entries[number]
                return number
        return None

    def take_all(self) -> list[tuple[T, RequestId]]:
        """Every request under way, with the client's own id; none is afterwards."""
        entries, self._entries = self._entries, {}
        return [(entry.owner, entry.id) for entry in entries.values()]

    def _notified(self, message: JSONRPCNotification) -> tuple[T, JSONRPCMessage, bool] | None:
        params = dict(message.params or {})
        meta = params.get("_meta")
        if isinstance(meta, dict) and SUBSCRIPTION in meta:
            entry = self._entries.get(meta[SUBSCRIPTION])
            return None if entry is None else (entry.owner, _with(message, params, entry), False)
        if message.method == "notifications/progress":
            entry = self._entries.get(params.get("progressToken", ""))
            if entry is None:
                return None
            params["progressToken"] = entry.token
            return entry.owner, message.model_copy(update={"params": params}), False
        calls = [entry for entry in self._entries.values() if not entry.listens]
        return (calls[0].owner, message, False) if len(calls) == 1 else None


def _with(
    message: JSONRPCNotification, params: dict[str, Any], entry: _Entry[Any]
) -> JSONRPCNotification:
    return message.model_copy(update={"params": _subscribed(params, entry)})


def _subscribed(holder: dict[str, Any], entry: _Entry[Any]) -> dict[str, Any]:
    meta = holder.get("_meta")
    if not isinstance(meta, dict) or SUBSCRIPTION not in meta:
        return holder
    return {**holder, "_meta": {**meta, SUBSCRIPTION: entry.id}}
