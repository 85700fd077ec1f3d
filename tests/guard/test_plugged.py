"""A plug-in's gate is kept from failing open, from breaking the door, and from giving away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from underpass.guard.gates import Deny, Guard, Later, NeedsBody, Outcome, Pass, Peer, Rule
from underpass.guard.outcomes import AWAY, REFUSED
from underpass.guard.plugged import Sheltered
from underpass.http.messages import RequestHead
from underpass.model.gates import parse_gate

HEAD = RequestHead(b"POST", b"/", b"h", [(b"X-Badge", b"7")], 2)


class Saying:
    """A gate that says what the test makes it say."""

    kind = text = "acme.badge"

    def __init__(self, said: Any) -> None:
        self.said = said

    def judge(self, head: RequestHead, peer: Peer) -> Outcome:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


async def heard(said: Any) -> Outcome:
    outcome = Sheltered(Saying(said), parse_gate("acme.badge")).judge(HEAD, Peer(""))
    while isinstance(outcome, (NeedsBody, Later)):
        if isinstance(outcome, NeedsBody):
            outcome = outcome.decide(b"ab")
        else:
            outcome = await outcome.wait()
    return outcome


def later(said: Any) -> Later:
    async def wait() -> Any:
        await asyncio.sleep(0)
        return said

    return Later(wait)


def choke(body: bytes) -> Outcome:
    raise RuntimeError("broken")


ODD: list[Any] = [
    None,
    True,
    RuntimeError("broken"),
    Pass(("x-badge",)),  # type: ignore[arg-type]
    Pass((b"x badge",)),
    Pass(target=b"//evil.example"),
    Pass(target="/x"),  # type: ignore[arg-type]
    Pass(identity="acme:a\r\nX-Admin: 1"),
    Pass(identity=7),  # type: ignore[arg-type]
    Deny(200, "gate-refused"),
    Deny(403, "acme-no"),
    Deny(403, "gate-x\r\nX: 1"),
    Deny(401, "gate-x", [(b"WWW-Authenticate", b"Badge\r\nSet-Cookie: a=b")]),
    Deny(401, "gate-x", [("WWW-Authenticate", "Badge")]),  # type: ignore[list-item]
]


@pytest.mark.parametrize("said", ODD, ids=range(len(ODD)))
async def test_what_is_not_sound_refuses_whenever_it_is_said(said: Any) -> None:
    assert await heard(said) == AWAY
    if not isinstance(said, Exception):
        assert await heard(later(said)) == AWAY
        assert await heard(NeedsBody(9, lambda body: said)) == AWAY
        assert await heard(later(NeedsBody(9, lambda body: later(said)))) == AWAY
    assert await heard(NeedsBody(9, choke)) == AWAY


async def test_what_is_sound_is_said_on_with_names_as_they_are_compared() -> None:
    passed = Pass((b"X-Badge",), identity="acme:7")
    refused = Deny(401, "gate-badge", [(b"WWW-Authenticate", b"Badge")])
    for said, meant in ((passed, Pass((b"x-badge",), identity="acme:7")), (refused, refused)):
        assert await heard(said) == meant
        assert await heard(later(said)) == meant
        assert await heard(NeedsBody(9, lambda body, said=said: said)) == meant


class Recognising(Saying):
    """A gate that can tell what is meant for it."""

    def __init__(self, told: Any) -> None:
        super().__init__(REFUSED)
        self.told = told

    def recognise(self, head: RequestHead) -> Any:
        if isinstance(self.told, Exception):
            raise self.told
        return self.told


@pytest.mark.parametrize(
    ("told", "stays"),
    [
        ((b"X-Badge",), (b"x-badge",)),
        ((), ()),
        (("x-badge",), ()),
        ((b"x badge",), ()),
        (None, ()),
        (RuntimeError("broken"), ()),
    ],
)
def test_a_plug_ins_credential_stays_here_on_other_paths_if_it_can_tell(
    told: Any, stays: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    gate = Sheltered(Recognising(told), parse_gate("acme.badge"))
    guard = Guard([], rules=[Rule(("/a",), ((gate,),)), Rule(("/*",), ((),))])
    assert guard.judge_http(HEAD, Peer("")) == Pass(stays)
    assert bool(caplog.records) is (stays == () and told != ())


def test_a_plug_in_that_cannot_tell_is_asked_nothing_on_other_paths() -> None:
    gate = Sheltered(Saying(RuntimeError("asked")), parse_gate("acme.badge"))
    guard = Guard([], rules=[Rule(("/a",), ((gate,),)), Rule(("/*",), ((),))])
    assert guard.judge_http(HEAD, Peer("")) == Pass()
