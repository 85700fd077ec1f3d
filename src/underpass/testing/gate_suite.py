"""The conformance suite that every gate passes: the same for ours and for a plug-in.

    from underpass.testing.gate_bench import GateBench, Shown
    from underpass.testing.gate_suite import GateSuite

    class BadgeBench(GateBench):
        text = "acme.badge:blue"
        def honest(self): return Shown(headers=[(b"Badge", b"blue")])

    class TestBadge(GateSuite):
        @pytest.fixture
        def bench(self): return BadgeBench()

Needs pytest-asyncio in its automatic mode, or the mark on the class.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final
from unittest import SkipTest

from underpass.guard.gates import Deny, Hold, Later, NeedsBody, Pass, Peer, Rule
from underpass.guard.gates import Guard as _Guard
from underpass.http.grammar import is_target, is_value
from underpass.http.messages import Headers
from underpass.testing.gate_bench import STRANGER, GateBench, Shown, judged

MOST_BODY: Final = 32 * 1024 * 1024
"""No gate may hold more: all visitors of a tunnel share twice as much."""

_CODE: Final = re.compile(r"gate-[a-z-]{1,40}")
_IDENTITY: Final = re.compile(r"[!-~]{0,300}")

CLAIMS: Final[Headers] = [
    (b"X-Forwarded-For", b"127.0.0.1"),
    (b"X-Real-IP", b"127.0.0.1"),
    (b"Forwarded", b"for=127.0.0.1;proto=https"),
    (b"X-Forwarded-Proto", b"https"),
    (b"X-Forwarded-Host", b"localhost"),
    (b"X-Forwarded-User", b"admin"),
    (b"X-Remote-User", b"admin"),
    (b"X-SSL-Client-Verify", b"SUCCESS"),
    (b"X-Original-URL", b"/healthz"),
    (b"User-Agent", b"kube-probe/1.30"),
    (b"Underpass-Gate", b"passed"),
]
"""What visitors like to say of themselves."""

_CHANGES: Final[dict[str, Callable[[bytes], bytes]]] = {
    "empty": lambda value: b"",
    "cut": lambda value: value[:-1],
    "cut at the front": lambda value: value[1:],
    "longer": lambda value: value + b"A",
    "twice": lambda value: value + b", " + value,
    "doubled": lambda value: value + value,
    "a null byte": lambda value: value + b"\0",
    "reversed": lambda value: value[::-1],
    "only the first word": lambda value: value.partition(b" ")[0] if b" " in value else b"",
    "another scheme": lambda value: b"Negotiate " + value.partition(b" ")[2],
    "without end": lambda value: value + b"A" * 70_000,
}

_RENAMES: Final[tuple[Callable[[bytes], bytes], ...]] = (
    lambda name: b"X-" + name,
    lambda name: name + b"-2",
    lambda name: name.replace(b"-", b"_") if b"-" in name else name + b"_",
    lambda name: b"HTTP_" + name.upper().replace(b"-", b"_"),
)


class GateSuite:
    """Subclass it, and give it a fixture ``bench``."""

    async def test_an_honest_visitor_passes(self, bench: GateBench) -> None:
        passed = await _passes(bench, bench.honest())
        assert _IDENTITY.fullmatch(passed.identity)
        if passed.target is not None:
            assert is_target(passed.target)

    async def test_what_it_lets_in_has_not_ended_already(self, bench: GateBench) -> None:
        passed = await _passes(bench, bench.honest())
        assert passed.until > 0, "Unix seconds, or infinity; no NaN"
        assert all(isinstance(hold, Hold) and not hold.is_cut for hold in passed.holds)

    async def test_whoever_shows_nothing_is_refused_at_once(self, bench: GateBench) -> None:
        gate = bench.make()
        for shown in (Shown(), Shown(method=b"GET"), Shown(peer=Peer("")), Shown(target=b"*")):
            outcome = gate.judge(shown.head, shown.peer)
            assert isinstance(outcome, Deny), "no body is held, nothing fetched for a stranger"
            _check_refusal(outcome)

    async def test_what_visitors_claim_of_themselves_opens_nothing(self, bench: GateBench) -> None:
        for claim in CLAIMS:
            await _refused(bench, Shown(headers=[claim]), claim)
        await _refused(bench, Shown(headers=CLAIMS), "all of them")

    async def test_the_credential_stays_here(self, bench: GateBench) -> None:
        honest = bench.honest()
        passed = await _passes(bench, honest)
        names = {name.lower() for name, _ in honest.headers}
        assert all(name == name.lower() for name in passed.strip)
        left = [value for name, value in honest.headers if name.lower() not in passed.strip]
        seen = b"\n".join([*left, passed.target or honest.target])
        for secret in bench.hidden:
            assert secret not in seen
        assert names.issuperset(passed.strip) or bench.asks_path

    async def test_other_fields_go_on(self, bench: GateBench) -> None:
        honest = bench.honest()
        more = [(b"Cookie", b"a=b"), (b"X-Api-Key", b"for-the-origin")]
        passed = await _passes(bench, honest.with_headers([*honest.headers, *more]))
        assert not {b"cookie", b"x-api-key"}.intersection(passed.strip)

    async def test_a_changed_credential_is_refused(self, bench: GateBench) -> None:
        for shown, how in _changed(bench):
            await _refused(bench, shown, how)

    async def test_a_credential_in_another_field_is_refused(self, bench: GateBench) -> None:
        if bench.asks_peer or bench.asks_path:
            raise SkipTest("it does not judge by fields")
        for rename in _RENAMES:
            honest = bench.honest()
            renamed = [(rename(name), value) for name, value in honest.headers]
            await _refused(bench, honest.with_headers(renamed), "another field")
            in_cookie = [(b"Cookie", name + b"=" + value) for name, value in honest.headers]
            await _refused(bench, honest.with_headers(in_cookie), "a cookie")
            in_query = [value for _, value in honest.headers if value.isalnum()]
            target = b"/?token=" + (in_query[0] if in_query else b"x")
            await _refused(bench, Shown(body=honest.body, target=target), "the query")

    async def test_a_credential_for_one_visitor_is_none_for_a_stranger(
        self, bench: GateBench
    ) -> None:
        if not bench.asks_peer:
            raise SkipTest("it does not judge who calls")
        honest = bench.honest()
        for peer in (STRANGER, Peer(""), Peer("127.0.0.1", secure=True)):
            await _refused(bench, Shown(honest.headers, honest.body, peer=peer), peer)

    async def test_another_body_is_refused_where_bodies_are_judged(self, bench: GateBench) -> None:
        honest, gate = bench.honest(), bench.make()
        pending = gate.judge(honest.head, honest.peer)
        if not isinstance(pending, NeedsBody):
            raise SkipTest("it does not judge bodies")
        assert 0 < pending.limit <= MOST_BODY
        for body in (b"", honest.body + b"\n", honest.body[:-1], honest.body.swapcase()):
            fresh = bench.honest()
            other = Shown(fresh.headers, body, fresh.target, fresh.method, fresh.peer)
            await _refused(bench, other, body)

    async def test_waiting_is_bounded(self, bench: GateBench) -> None:
        honest = bench.honest()
        pending = bench.make().judge(honest.head, honest.peer)
        if isinstance(pending, Later):
            assert 0 < pending.seconds <= 30

    async def test_nothing_secret_shows(self, bench: GateBench) -> None:
        gate, forged = bench.make(), bench.forge()
        attempts = [Shown(), *(each for each, _ in _changed(bench))]
        told = [repr(await judged(gate, each)) for each in attempts]
        text = "\n".join([repr(gate), gate.text, gate.kind, repr(forged.guard), *told])
        for secret in bench.hidden:
            assert secret.decode("latin-1") not in text

    async def test_its_text_is_its_own_and_says_its_kind(self, bench: GateBench) -> None:
        gate = bench.make()
        assert bench.text.partition(":")[0] == gate.kind
        assert gate.text.partition(":")[0] == gate.kind
        assert gate.text.isprintable()
        assert bench.forge().guard.kinds == (gate.kind,)

    async def test_it_stands_before_one_path_as_before_all(self, bench: GateBench) -> None:
        if bench.asks_path:
            raise SkipTest("its path is its credential")
        gate = bench.make()
        guard = _Guard([], rules=[Rule(("/here",), ((gate,),)), Rule(("/open",), ((),))])
        honest = bench.honest()
        here = Shown(honest.headers, honest.body, b"/here", honest.method, honest.peer)
        assert isinstance(guard.judge_http(Shown(target=b"/open").head, STRANGER), Pass)
        assert isinstance(guard.judge_http(Shown(target=b"/here").head, STRANGER), Deny)
        assert guard.keeps_out(STRANGER.address)
        outcome = guard.judge_http(here.head, here.peer)
        assert not isinstance(outcome, Deny)


def _changed(bench: GateBench) -> Iterator[tuple[Shown, str]]:
    """Requests of an honest visitor whose credential was tampered with."""
    if bench.asks_peer:
        return
    for how, change in _CHANGES.items():
        honest = bench.honest()
        if bench.asks_path:
            segment, slash, rest = honest.target[1:].partition(b"/")
            target = b"/" + change(segment) + slash + rest
            yield Shown(honest.headers, honest.body, target, honest.method, honest.peer), how
            continue
        for index, (name, value) in enumerate(honest.headers):
            made = change(value)
            if is_value(made) or b"\0" in made:
                headers = [*honest.headers[:index], (name, made), *honest.headers[index + 1 :]]
                yield honest.with_headers(headers), f"{name!r}: {how}"


async def _passes(bench: GateBench, shown: Shown) -> Pass:
    outcome = await judged(bench.make(), shown)
    assert isinstance(outcome, Pass), outcome
    return outcome


async def _refused(bench: GateBench, shown: Shown, how: object) -> None:
    outcome = await judged(bench.make(), shown)
    assert isinstance(outcome, Deny), how
    _check_refusal(outcome)


def _check_refusal(outcome: Deny) -> None:
    """401 says by which scheme to come, as HTTP asks; nothing says what was wrong."""
    assert outcome.status in (401, 403)
    assert _CODE.fullmatch(outcome.code)
    fields = [name.lower() for name, _ in outcome.challenge]
    assert (b"www-authenticate" in fields) is (outcome.status == 401)
