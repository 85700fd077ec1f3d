"""When a pass ends: what each gate says, what several amount to, and what is taken back."""

from __future__ import annotations

import base64
import json
from math import inf, nan
from pathlib import Path

import pytest
from tests.guard.issuer import AUDIENCE, KEYS, NOW, claims, sign

from underpass.guard.compose import all_of, any_of
from underpass.guard.gates import Gate, Materials, Pass, forge
from underpass.guard.holds import Hold
from underpass.guard.outcomes import PASSED, Later, NeedsBody, Outcome
from underpass.guard.peer import ClientCertificate, Peer
from underpass.guard.plugged import Sheltered
from underpass.guard.secrets import Secret
from underpass.http.messages import RequestHead
from underpass.model.gates import parse_gate

HEAD = RequestHead(b"GET", b"/", b"h", [])


class Says:
    """A gate that says what the test makes it say."""

    kind = text = "says"

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def judge(self, head: RequestHead, peer: Peer) -> Outcome:
        return self.outcome


def until(moment: float, *holds: Hold) -> Gate:
    return Says(Pass(until=moment, holds=holds))


def ask(gate: Gate) -> Outcome:
    return gate.judge(HEAD, Peer(""))


def end_of(outcome: Outcome) -> tuple[float, tuple[Hold, ...]]:
    assert isinstance(outcome, Pass)
    return outcome.until, outcome.holds


def test_all_of_several_end_with_the_first_that_ends() -> None:
    one, other = Hold(), Hold()
    gates = (until(30.0, one), Says(PASSED), until(20.0), until(inf, other))
    assert end_of(all_of(gates, ask)) == (20.0, (one, other))


def test_any_of_several_lasts_as_long_as_the_one_that_lasts_longest() -> None:
    hold = Hold()
    choices = ((until(30.0),), (until(20.0, hold),), (until(40.0, hold), until(25.0)))
    assert end_of(any_of(choices, ask)) == (30.0, ())
    assert end_of(any_of((*choices, (Says(PASSED),)), ask)) == (inf, ())


def test_of_two_without_an_end_the_one_that_cannot_be_taken_back_counts() -> None:
    held, free = (until(inf, Hold()),), (Says(Pass(identity="free")),)
    for choices in ((held, free), (free, held)):
        assert end_of(any_of(choices, ask)) == (inf, ())


async def test_a_verdict_that_comes_later_brings_its_end_along() -> None:
    async def wait() -> Outcome:
        return Pass(until=15.0)

    gates = (until(20.0), Says(NeedsBody(9, lambda body: Later(wait))))
    outcome = all_of(gates, ask)
    assert isinstance(outcome, NeedsBody)
    later = outcome.decide(b"")
    assert isinstance(later, Later)
    assert end_of(await later.wait()) == (15.0, ())


def test_a_pass_is_over_at_its_end_or_when_a_hold_is_cut() -> None:
    hold = Hold()
    passed = Pass(until=10.0, holds=(hold,))
    assert not passed.is_over(lambda: 9.9)
    assert passed.is_over(lambda: 10.0)
    hold.cut()
    assert passed.is_over(lambda: 0.0)
    assert not PASSED.is_over(lambda: inf)


def test_a_hold_tells_everybody_once_and_nobody_who_has_left() -> None:
    hold, told = Hold(), []
    watchers = [lambda name=name: told.append(name) for name in ("first", "gone")]
    for each in (*watchers, watchers[1]):
        hold.watch(each)
    hold.unwatch(watchers[1])
    hold.unwatch(watchers[1])
    assert hold.watched == 1
    hold.cut()
    hold.cut()
    assert told == ["first"]
    assert hold.watched == 0


# What each gate says.


def test_a_token_of_an_issuer_ends_with_its_time_and_the_leeway(tmp_path: Path) -> None:
    keys = tmp_path / "jwks.json"
    keys.write_text(json.dumps(KEYS))
    text = f"jwt:https://id.example.com,aud={AUDIENCE},jwks=file:{keys},leeway=7"
    gate = forge([parse_gate(text)], materials=Materials(wall_clock=lambda: NOW)).gates[text]

    def show(**changes: object) -> Outcome:
        token = sign(claims(**changes), kid="rsa")
        head = RequestHead(b"GET", b"/", b"h", [(b"Authorization", b"Bearer " + token)])
        return gate.judge(head, Peer(""))

    assert end_of(show(exp=NOW + 60)) == (NOW + 67, ())
    assert end_of(show(exp=NOW + 60.5)) == (NOW + 67.5, ())
    assert end_of(show(exp=10**400)) == (2.0**53, ())
    assert not isinstance(show(exp=NOW - 7), Pass)


def test_a_certificate_ends_with_itself() -> None:
    gate = forge(
        [parse_gate("mtls:file:/ca.pem")], materials=Materials(wall_clock=lambda: NOW)
    ).gates["mtls:file:/ca.pem"]
    shown = ClientCertificate(("alice",), "ab" * 32, NOW - 5.0, NOW + 5.0)
    assert end_of(gate.judge(HEAD, Peer("", certificate=shown))) == (NOW + 5.0, ())


def test_gates_whose_secret_lasts_as_long_as_the_tunnel_say_no_end() -> None:
    gates = [parse_gate(text) for text in ("bearer", "basic:alice", "link", "ip:192.0.2.0/24")]
    for gate in gates:
        forged = forge([gate], secrets={gate.kind: Secret("up_secret")})
        basic = base64.b64encode(b"alice:up_secret")
        shown = b"Basic " + basic if gate.kind == "basic" else b"Bearer up_secret"
        head = RequestHead(b"GET", b"/up_secret/", b"h", [(b"Authorization", shown)])
        assert end_of(forged.guard.judge_http(head, Peer("192.0.2.1"))) == (inf, ())


@pytest.mark.parametrize(
    "said",
    [Pass(until=nan), Pass(until="soon"), Pass(holds=("grant",)), Pass(holds=None)],  # type: ignore[arg-type]
    ids=["no number", "no time", "no hold", "nothing"],
)
def test_a_plug_in_whose_end_cannot_be_told_lets_nobody_in(said: Pass) -> None:
    spec = parse_gate("acme.badge")
    assert not isinstance(Sheltered(Says(said), spec).judge(HEAD, Peer("")), Pass)
    hold = Hold()
    honest = Sheltered(until(7.0, hold), spec).judge(HEAD, Peer(""))
    assert end_of(honest) == (7.0, (hold,))
