"""The API's answers and requests: documented, versioned objects.

    GET  /v1/tunnels                 underpass/v1/tunnels
    GET  /v1/tunnels/NAME            underpass/v1/tunnel
    GET  /v1/tunnels/NAME/reach      underpass/v1/reach-info
    GET  /v1/tunnels/NAME/events     underpass/v1/tunnel, one a line
    POST /v1/tunnels/NAME/prove      underpass/v1/tunnel
    POST /v1/tunnels/NAME/renew      underpass/v1/tunnel      body {"seconds": 7200}
    POST /v1/tunnels/NAME/stream     underpass/v1/stream, one a line; body: see StreamWish
    POST /v1/tunnels/NAME/close      underpass/v1/tunnel
    GET  /v1/tunnels/NAME/requests   underpass/v1/request, one a line, as exchanges end; between
                                     two lines of underpass/v1/requests
    POST /v1/tunnels/NAME/replay     underpass/v1/request     body: see ReplayWish
    GET  /v1/tunnels/NAME/sign-ins   underpass/v1/sign-ins
    POST /v1/tunnels/NAME/sign-ins   underpass/v1/sign-in     body {"code": "…", "approve": true}

What goes wrong is answered with ``{"error": {…}}`` as ``--json`` prints it, plus ``exit_code``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

from underpass.model.errors import Misuse, Refused, Setup, UnderpassError, Unreachable
from underpass.model.events import SCHEMA as TUNNEL_SCHEMA
from underpass.model.status import TunnelStatus
from underpass.prove.streaming.results import Parameters

TUNNELS_SCHEMA = "underpass/v1/tunnels"
FOLLOW_SCHEMA = "underpass/v1/requests"
REACH_SCHEMA = "underpass/v1/reach-info"
SIGN_INS_SCHEMA = "underpass/v1/sign-ins"
SIGN_IN_SCHEMA = "underpass/v1/sign-in"

LONGEST_RENEWAL_SECONDS = 366 * 86_400
"""A bound on what is read; what is granted is the keeper's to say."""


class Renewal(msgspec.Struct, frozen=True):
    """Body of ``renew``: the lease shall end so many seconds from now."""

    seconds: Annotated[int, msgspec.Meta(ge=1, le=LONGEST_RENEWAL_SECONDS)]


class SignInAnswer(msgspec.Struct, frozen=True):
    """Body of ``sign-ins``: the owner's word on one."""

    code: Annotated[str, msgspec.Meta(max_length=64)]
    approve: bool


class ReplayWish(msgspec.Struct, frozen=True):
    """Body of ``replay``: a request to be sent to the origin once more, as it shall be sent."""

    of: Annotated[str, msgspec.Meta(pattern="^[0-9a-z]{13}$")]
    """Id of the recorded request."""
    method: str
    target: str
    host: str
    headers: list[tuple[str, str]]
    body: str = ""
    """In base64."""
    seconds: Annotated[float, msgspec.Meta(gt=0, le=600)] = 30.0
    """After so long the answer is broken off."""


class TrustWish(msgspec.Struct, frozen=True):
    """Body of ``trust``: which paths to ask for."""

    paths: Annotated[
        list[Annotated[str, msgspec.Meta(pattern="^/[!-~]*$", max_length=2048)]],
        msgspec.Meta(max_length=64),
    ] = []


class StreamWish(msgspec.Struct, frozen=True):
    """Body of ``stream``: how much to measure. Bounds are the measuring origin's."""

    samples: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    rates: Annotated[
        tuple[
            tuple[
                Annotated[int, msgspec.Meta(ge=1, le=1000)],
                Annotated[int, msgspec.Meta(ge=2, le=10_000)],
            ],
            ...,
        ],
        msgspec.Meta(min_length=1, max_length=8),
    ] = ((10, 30), (100, 300), (1000, 2000))
    rounds: Annotated[int, msgspec.Meta(ge=1, le=20)] = 3
    silence_ms: Annotated[int, msgspec.Meta(ge=1, le=6 * 3_600_000)] = 20_000
    size: Annotated[int, msgspec.Meta(ge=1, le=1024**3)] = 10_000_000
    tokens: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 100_000
    departures: Annotated[int, msgspec.Meta(ge=1, le=100)] = 5

    def parameters(self) -> Parameters:
        """The same, for those who measure."""
        return Parameters(**msgspec.structs.asdict(self))


def tunnel_object(status: TunnelStatus, event: str | None = None) -> dict[str, object]:
    """The versioned object of one tunnel; with ``event`` it is a line of the event stream."""
    named = {} if event is None else {"event": event}
    return {"schema": TUNNEL_SCHEMA, **named, **status.to_dict()}


def tunnels_object(statuses: Iterable[TunnelStatus]) -> dict[str, object]:
    """The versioned object of all tunnels kept here, each with its verdict among its facts."""
    tunnels = [
        {**status.tunnel_dict(), "verdict": status.to_dict()["verdict"]} for status in statuses
    ]
    return {"schema": TUNNELS_SCHEMA, "tunnels": tunnels}


def error_object(error: UnderpassError) -> dict[str, object]:
    """The error as ``--json`` prints it, and the exit code that belongs to it."""
    return {"error": {**error.to_dict(), "exit_code": error.exit_code}}


def http_status(error: UnderpassError) -> int:
    """The status line that tells a plain HTTP client the same."""
    by_exit_code = {3: 404, 4: 403, 8: 504, 9: 409}
    if error.exit_code in by_exit_code:
        return by_exit_code[error.exit_code]
    if isinstance(error, Misuse):
        return 400
    if isinstance(error, Refused):
        return 403
    return 503 if isinstance(error, (Unreachable, Setup)) else 500
