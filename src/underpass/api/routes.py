"""The API's routes; each states who may use it in its own row.

Today there is one answer to that question, ``owner``: the socket lets nobody else in. The column
is there so that a route that is added has to say it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from underpass.api.control import Changes, Control, Examiner, SignInDesk, Watched
from underpass.api.errors import ApiFailed, RequestMalformed
from underpass.api.records import (
    FOLLOW_SCHEMA,
    REACH_SCHEMA,
    SIGN_IN_SCHEMA,
    SIGN_INS_SCHEMA,
    Renewal,
    ReplayWish,
    SignInAnswer,
    StreamWish,
    TrustWish,
    error_object,
    http_status,
    tunnel_object,
    tunnels_object,
)
from underpass.guard.oauth.errors import NoSuchSignIn
from underpass.model.errors import UnderpassError
from underpass.model.errors_run import NoSuchTunnel
from underpass.observe.errors import CaptureIsOff

BODY_LIMIT = 64 * 1024
"""Bytes of a request's body; the largest we know is a few dozen."""


REPLAY_LIMIT = 512 * 1024
"""Of a request to be sent again: a body and a head of 64 KiB each, in base64, and some room."""


class Who(StrEnum):
    """Who may use a route."""

    OWNER = "owner"
    """The user of this process, or root, by the socket's peer credentials."""


@dataclass(frozen=True, slots=True)
class Row:
    """One route."""

    method: str
    path: str
    who: Who
    answer: Callable[[Mapping[str, Control], Request], Awaitable[Response]]


async def list_tunnels(controls: Mapping[str, Control], request: Request) -> Response:
    return _json(tunnels_object(control.status() for control in controls.values()))


async def show(controls: Mapping[str, Control], request: Request) -> Response:
    shown = tunnel_object(_control(controls, request).status())
    watched = _watched(controls, request)
    meter = None if watched is None else watched.meter()
    return _json(shown if meter is None else {**shown, "meter": meter})


async def reach_info(controls: Mapping[str, Control], request: Request) -> Response:
    return _json({"schema": REACH_SCHEMA, **_control(controls, request).reach_info()})


async def prove(controls: Mapping[str, Control], request: Request) -> Response:
    control = _control(controls, request)
    verdict = await control.prove()
    return _json({**tunnel_object(control.status()), "verdict": verdict.to_dict()})


async def renew(controls: Mapping[str, Control], request: Request) -> Response:
    control = _control(controls, request)
    try:
        renewal = msgspec.json.decode(await _body(request), type=Renewal)
    except msgspec.MsgspecError as error:
        raise RequestMalformed(str(error)) from None
    return _json(tunnel_object(await control.renew(renewal.seconds)))


async def sign_ins(controls: Mapping[str, Control], request: Request) -> Response:
    desk = _desk(controls, request)
    waiting = [] if desk is None else list(desk.waiting())
    return _json({"schema": SIGN_INS_SCHEMA, "sign_ins": waiting})


async def decide_sign_in(controls: Mapping[str, Control], request: Request) -> Response:
    desk = _desk(controls, request)
    try:
        said = msgspec.json.decode(await _body(request), type=SignInAnswer)
    except msgspec.MsgspecError as error:
        raise RequestMalformed(str(error)) from None
    decided = None if desk is None else desk.decide(said.code, approve=said.approve)
    if decided is None:
        raise NoSuchSignIn(said.code)
    return _json({"schema": SIGN_IN_SCHEMA, "approved": said.approve, "sign_in": decided})


async def close(controls: Mapping[str, Control], request: Request) -> Response:
    control = _control(controls, request)
    # A caller that leaves must not leave the tunnel half closed behind.
    await asyncio.shield(asyncio.ensure_future(control.close()))
    return _json(tunnel_object(control.status()))


async def events(controls: Mapping[str, Control], request: Request) -> Response:
    control, streams = _control(controls, request), request.app.state.streams

    async def lines() -> AsyncIterator[bytes]:
        # First the present state, so that whoever watches need not ask in between.
        changes = control.subscribe()
        streams.add(changes)
        try:
            status = control.status()
            yield _encode(tunnel_object(status, str(status.state))) + b"\n"
            async for change in changes:
                yield _encode(change) + b"\n"
        finally:
            streams.discard(changes)
            await changes.aclose()

    return StreamingResponse(lines(), media_type="application/jsonl")


async def requests(controls: Mapping[str, Control], request: Request) -> Response:
    watched, streams = _watched(controls, request), request.app.state.streams
    if watched is None:
        raise CaptureIsOff(request.path_params["name"])
    following = watched.follow()
    streams.add(following)
    # What ended before can be read by whoever asked, once this is answered.
    await watched.flush()
    name = request.path_params["name"]

    async def lines() -> AsyncIterator[bytes]:
        try:
            yield _encode({"schema": FOLLOW_SCHEMA, "event": "following", "tunnel": name}) + b"\n"
            async for exchange in following:
                yield _encode(exchange) + b"\n"
            yield _encode({"schema": FOLLOW_SCHEMA, "event": "ended", "tunnel": name}) + b"\n"
        finally:
            streams.discard(following)
            await following.aclose()

    return StreamingResponse(lines(), media_type="application/jsonl")


async def replay(controls: Mapping[str, Control], request: Request) -> Response:
    watched = _watched(controls, request)
    try:
        wish = msgspec.json.decode(await _body(request, REPLAY_LIMIT), type=ReplayWish)
    except msgspec.MsgspecError as error:
        raise RequestMalformed(str(error)) from None
    if watched is None:
        raise CaptureIsOff(request.path_params["name"])
    return _json(await watched.replay(wish))


async def trust(controls: Mapping[str, Control], request: Request) -> Response:
    _control(controls, request)
    examiner: Examiner | None = request.app.state.examiners.get(request.path_params["name"])
    try:
        wish = msgspec.json.decode(await _body(request), type=TrustWish)
    except msgspec.MsgspecError as error:
        raise RequestMalformed(str(error)) from None
    if examiner is None:
        raise NoSuchTunnel(request.path_params["name"])
    return _json(await examiner.trust(wish.paths))


async def stream(controls: Mapping[str, Control], request: Request) -> Response:
    _control(controls, request)
    name, streams = request.path_params["name"], request.app.state.streams
    examiner: Examiner | None = request.app.state.examiners.get(name)
    try:
        wish = msgspec.json.decode(await _body(request), type=StreamWish)
    except msgspec.MsgspecError as error:
        raise RequestMalformed(str(error)) from None
    if examiner is None:
        raise NoSuchTunnel(name)
    told = examiner.stream(wish.parameters())
    streams.add(told)

    async def lines() -> AsyncIterator[bytes]:
        try:
            async for each in told:
                yield _encode(each) + b"\n"
        finally:
            streams.discard(told)
            await told.aclose()

    return StreamingResponse(lines(), media_type="application/jsonl")


ROUTES = (
    Row("GET", "/v1/tunnels", Who.OWNER, list_tunnels),
    Row("GET", "/v1/tunnels/{name}", Who.OWNER, show),
    Row("GET", "/v1/tunnels/{name}/reach", Who.OWNER, reach_info),
    Row("GET", "/v1/tunnels/{name}/events", Who.OWNER, events),
    Row("POST", "/v1/tunnels/{name}/prove", Who.OWNER, prove),
    Row("POST", "/v1/tunnels/{name}/trust", Who.OWNER, trust),
    Row("POST", "/v1/tunnels/{name}/stream", Who.OWNER, stream),
    Row("POST", "/v1/tunnels/{name}/renew", Who.OWNER, renew),
    Row("POST", "/v1/tunnels/{name}/close", Who.OWNER, close),
    Row("GET", "/v1/tunnels/{name}/sign-ins", Who.OWNER, sign_ins),
    Row("POST", "/v1/tunnels/{name}/sign-ins", Who.OWNER, decide_sign_in),
    Row("GET", "/v1/tunnels/{name}/requests", Who.OWNER, requests),
    Row("POST", "/v1/tunnels/{name}/replay", Who.OWNER, replay),
)


def build_app(
    controls: Mapping[str, Control],
    streams: set[Changes],
    desks: Mapping[str, SignInDesk] | None = None,
    watched: Mapping[str, Watched] | None = None,
    examiners: Mapping[str, Examiner] | None = None,
) -> Starlette:
    """The application that answers for ``controls``.

    ``streams`` holds the changes that are being watched; closing one ends its stream. ``desks`` are
    those of tunnels with an oauth gate, by name; ``watched`` those that are recorded or metered;
    ``examiners`` look closer.
    """

    def endpoint(row: Row) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return await row.answer(controls, request)

        return answer

    app = Starlette(
        routes=[Route(row.path, endpoint(row), methods=[row.method]) for row in ROUTES],
        exception_handlers={
            UnderpassError: _refuse,
            HTTPException: _misdirected,
            Exception: _fail,
        },
    )
    app.state.streams = streams
    app.state.desks = desks or {}
    app.state.watched = watched or {}
    app.state.examiners = examiners or {}
    return app


def _control(controls: Mapping[str, Control], request: Request) -> Control:
    name = request.path_params["name"]
    if (control := controls.get(name)) is None:
        raise NoSuchTunnel(name)
    return control


def _desk(controls: Mapping[str, Control], request: Request) -> SignInDesk | None:
    _control(controls, request)
    found: SignInDesk | None = request.app.state.desks.get(request.path_params["name"])
    return found


def _watched(controls: Mapping[str, Control], request: Request) -> Watched | None:
    _control(controls, request)
    found: Watched | None = request.app.state.watched.get(request.path_params["name"])
    return found


async def _body(request: Request, limit: int = BODY_LIMIT) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise RequestMalformed(f"its body is longer than {limit} bytes")
    return bytes(body)


def _encode(facts: object) -> bytes:
    return msgspec.json.encode(facts)


def _json(facts: object, status: int = 200) -> Response:
    return Response(_encode(facts), status, media_type="application/json")


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, UnderpassError)
    return _json(error_object(error), http_status(error))


async def _misdirected(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path} is not among its routes"
    return _json(error_object(RequestMalformed(what)), error.status_code)


async def _fail(request: Request, error: Exception) -> Response:
    # Its kind but not its text, which may quote anything. Starlette raises it again, to be logged.
    failed = ApiFailed(f"{request.method} {request.url.path}", type(error).__name__)
    return _json(error_object(failed), http_status(failed))
