"""A guard with rules: who stands before which path, and how several verdicts become one."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from urllib.parse import quote

import pytest

from underpass.guard.compose import all_of, any_of
from underpass.guard.gates import (
    Deny,
    Forged,
    Guard,
    IpGate,
    Later,
    LinkGate,
    NeedsBody,
    Outcome,
    Pass,
    Peer,
    Rule,
    forge,
)
from underpass.guard.secrets import Secret
from underpass.http.messages import RequestHead
from underpass.model.gate_rules import parse_gates

TOKEN = "up_" + "Ab1-" * 10 + "xyz"
HOME, AWAY = Peer("10.1.2.3"), Peer("198.51.100.9")
BEARER = (b"Authorization", b"Bearer " + TOKEN.encode())
BASIC = (b"Authorization", b"Basic " + b64encode(f"alice:{TOKEN}".encode()))
LINK = b"/" + TOKEN.encode()
REFUSED = Deny(403, "gate-refused")


def made(*texts: str, public: bool = False) -> Guard:
    gates, rules = parse_gates(texts)
    secrets = {kind: Secret(TOKEN) for kind in ("bearer", "basic", "link")}
    return forge(gates, rules=rules, public=public, secrets=secrets).guard


def ask(guard: Guard, target: bytes, *headers: tuple[bytes, bytes], peer: Peer = AWAY) -> Outcome:
    return guard.judge_http(RequestHead(b"GET", target, b"tools.example", list(headers)), peer)


def passes(outcome: Outcome) -> bool:
    return isinstance(outcome, Pass)


def test_each_path_has_its_own_gate() -> None:
    guard = made("bearer", "/hooks/*=ip:10.0.0.0/8", "/healthz=open")
    assert passes(ask(guard, b"/healthz"))
    assert passes(ask(guard, b"/healthz/?probe=1"))
    assert passes(ask(guard, b"/hooks/x", peer=HOME))
    assert ask(guard, b"/hooks/x", BEARER) == REFUSED
    assert passes(ask(guard, b"/other", BEARER))
    for target in (b"/other", b"/healthzz", b"/healthz/x", b"/hooksx", b"/"):
        outcome = ask(guard, target, peer=HOME)
        assert isinstance(outcome, Deny)
        assert outcome.status == 401


def test_what_no_rule_names_is_refused_even_to_who_has_every_credential() -> None:
    guard = made("/mcp=bearer")
    assert passes(ask(guard, b"/mcp", BEARER))
    assert ask(guard, b"/", BEARER) == REFUSED
    assert ask(guard, b"*", BEARER) == REFUSED


def test_in_public_what_no_rule_names_is_open() -> None:
    guard = made("/admin/*=bearer", public=True)
    assert passes(ask(guard, b"/"))
    assert passes(ask(guard, b"*"))
    assert isinstance(ask(guard, b"/admin"), Deny)
    assert isinstance(ask(guard, b"/admin/users"), Deny)
    assert not guard.is_public


@pytest.mark.parametrize(
    "target",
    [b"/ADMIN/x", b"/x/../admin/y", b"/%61dmin/x", b"/admin%2fx", b"//admin/x", b"/;/admin"],
)
def test_an_ambiguous_path_is_judged_by_no_gate(target: bytes) -> None:
    guard = made("/admin/*=bearer", public=True)
    for headers in ((), (BEARER,)):
        assert ask(guard, target, *headers) == Deny(400, "path-ambiguous")


def test_letters_that_nobody_sees_change_no_rule() -> None:
    guard = made("/admin/*=bearer", "/*=open")
    for hidden in ("\u200c", "\u200d", "\u00ad", "\u2060", "\ufeff", "\u202e"):
        path = quote(f"/ad{hidden}min/x").encode()
        assert ask(guard, path) == Deny(400, "path-ambiguous"), path
        assert passes(ask(guard, quote(f"/news/{hidden}").encode())), "elsewhere they are letters"


def test_without_rules_no_path_is_ambiguous() -> None:
    assert passes(ask(made("bearer"), b"/a%2fb;c//d", BEARER))
    assert passes(ask(made("bearer", "ip:10.0.0.0/8"), b"/a%2fb;c//d", BEARER, peer=HOME))
    assert passes(ask(made("bearer|ip:10.0.0.0/8"), b"/a%2fb;c//d", peer=HOME))


def test_any_of_admits_by_either_and_all_of_by_nothing_less() -> None:
    guard = made("ip:10.0.0.0/8+bearer|basic:alice")
    assert passes(ask(guard, b"/", BEARER, peer=HOME))
    assert passes(ask(guard, b"/", BASIC, peer=AWAY))
    assert isinstance(ask(guard, b"/", BEARER, peer=AWAY), Deny)
    assert isinstance(ask(guard, b"/", peer=HOME), Deny)


def test_a_refusal_names_every_scheme_that_would_do_here() -> None:
    outcome = ask(made("bearer|basic:alice|ip:10.0.0.0/8"), b"/")
    assert isinstance(outcome, Deny)
    assert outcome.status == 401
    assert [value.split()[0] for _, value in outcome.challenge] == [b"Bearer", b"Basic"]
    # A stranger from elsewhere learns of no gate behind an address.
    assert ask(made("ip:10.0.0.0/8+bearer|ip:10.0.0.0/9+basic"), b"/") == REFUSED


def test_a_credential_stays_here_even_if_another_choice_had_let_its_owner_in() -> None:
    outcome = ask(made("ip:10.0.0.0/8|bearer"), b"/", BEARER, peer=HOME)
    assert isinstance(outcome, Pass)
    assert outcome.strip == (b"authorization",)
    assert outcome.identity == "bearer"


def test_a_credential_that_opens_nothing_here_goes_on() -> None:
    theirs = (b"Authorization", b"Bearer somebody-elses")
    assert ask(made("/a=bearer", "/b=open"), b"/b", theirs) == Pass()


def test_a_credential_that_opens_another_path_reaches_no_origin() -> None:
    # Clients show what they have on every path, browsers for the whole realm.
    own = (b"Underpass-Token", TOKEN.encode())
    for gates, headers, kept in (
        (("/a=bearer", "/b=open"), [BEARER], (b"authorization",)),
        (("/a=bearer", "/b=open"), [own, BEARER], (b"authorization", b"underpass-token")),
        (("/a=basic:alice", "/b=open"), [BASIC], (b"authorization",)),
        (("bearer", "/b=basic:alice"), [BASIC, own], (b"authorization", b"underpass-token")),
        (("/a=link", "/b=open"), [(b"Referer", b"https://t" + LINK + b"/a")], (b"referer",)),
    ):
        outcome = ask(made(*gates), b"/b", *headers)
        assert isinstance(outcome, Pass)
        assert sorted(outcome.strip) == sorted(kept), gates


def test_a_credential_that_is_not_enough_here_reaches_no_origin_by_another_choice() -> None:
    own = (b"Underpass-Token", TOKEN.encode())
    outcome = ask(made("ip:10.0.0.0/8+bearer|basic:alice"), b"/", BASIC, own, peer=AWAY)
    assert isinstance(outcome, Pass)
    assert (sorted(outcome.strip), outcome.identity) == (
        [b"authorization", b"underpass-token"],
        "basic:alice",
    )


async def test_a_credential_stays_here_whichever_way_a_verdict_comes() -> None:
    asking = body(b"right")
    bearer = made("bearer")._only
    assert bearer is not None
    guard = Guard([], rules=[Rule(("/a",), ((bearer,),)), Rule(("/b",), ((asking,),))])
    outcome = await settle(ask(guard, b"/b", BEARER), b"right")
    assert outcome == Pass((b"authorization",), identity="body")


def test_rules_see_the_path_behind_the_link() -> None:
    guard = made("/a=link", "/b=bearer", "/c=open")
    assert ask(guard, LINK + b"/a?x=1") == Pass((b"referer",), b"/a?x=1")
    assert ask(guard, b"/a") == REFUSED
    # Whatever let the visitor in, the secret segment never reaches the origin.
    outcome = ask(guard, LINK + b"/b", BEARER)
    assert outcome == Pass((b"referer", b"authorization"), b"/b", "bearer")
    assert isinstance(ask(guard, LINK + b"/b"), Deny)
    assert ask(guard, LINK + b"/c") == Pass((b"referer",), b"/c")
    assert ask(guard, LINK + b"/%61") == Deny(400, "path-ambiguous")
    assert ask(guard, LINK + b"/d") == REFUSED


def test_a_gate_named_by_several_rules_is_one_gate() -> None:
    gates, rules = parse_gates(["bearer", "/a=bearer|basic", "/b=basic"])
    forged = forge(gates, rules=rules)
    assert isinstance(forged, Forged)
    assert sorted(forged.gates) == ["basic", "bearer"]
    assert sorted(forged.secrets) == ["basic", "bearer"]


def test_each_closed_rule_names_a_path_for_the_proof() -> None:
    guard = made("bearer", "/hooks/*=basic", "/mcp=bearer", "/health=open", "/in/*=ip:10.0.0.0/8")
    assert guard.closed_paths() == ("/hooks/", "/mcp", "/")
    assert made("/x/*=bearer").closed_paths() == ("/x/", "/")
    assert made("/x/*=bearer", public=True).closed_paths() == ("/x/",)
    assert made("/=open", "/a/*=open", "bearer").closed_paths() == ("/underpass-proof",)
    assert made("ip:10.0.0.0/8").closed_paths() == ()
    assert made("ip:10.0.0.0/8|bearer").closed_paths() == ()
    assert made("ip:10.0.0.0/8+bearer").closed_paths() == ("/",)


def test_a_stranger_is_kept_out_wherever_a_gate_stands() -> None:
    assert made("/a=ip:10.0.0.0/8|bearer", "/b=open").keeps_out("192.0.2.1")
    assert not made("/a=ip:10.0.0.0/8|bearer", "/b=open").keeps_out("10.0.0.1")
    lax = Guard([], rules=[Rule(("/a",), ((IpGate(["192.0.2.0/24"]),),))])
    assert not lax.keeps_out("192.0.2.1")


def test_rules_change_what_the_guard_commits_to() -> None:
    texts = (("bearer",), ("bearer", "/a=open"), ("bearer", "/a/*=open"), ("/a=bearer",))
    commitments = {made(*each).commitment() for each in texts}
    commitments.add(made("/a=bearer", public=True).commitment())
    assert len(commitments) == 5
    assert made("bearer", "/a=open").cidrs() == ()
    assert "up_" not in repr(made("bearer", "/a=link|basic"))


def test_a_guard_of_open_rules_alone_is_no_guard() -> None:
    with pytest.raises(ValueError):
        Guard([], rules=[Rule(("/a",), ((),))])
    with pytest.raises(ValueError):
        Guard([LinkGate(b"")], public=True)


# Gates that cannot say at once.


class Slow:
    """A gate that answers as it is told."""

    def __init__(self, outcome: Outcome, kind: str = "slow") -> None:
        self.kind = self.text = kind
        self.outcome = outcome

    def judge(self, head: RequestHead, peer: Peer) -> Outcome:
        return self.outcome


ASKED: list[bytes] = []


def body(wanted: bytes, identity: str = "body") -> Slow:
    def decide(given: bytes) -> Outcome:
        ASKED.append(given)
        return Pass(identity=identity) if given == wanted else REFUSED

    return Slow(NeedsBody(100, decide))


def later(outcome: Outcome) -> Slow:
    async def wait() -> Outcome:
        await asyncio.sleep(0)
        return outcome

    return Slow(Later(wait))


async def settle(outcome: Outcome, given: bytes = b"") -> Outcome:
    """Do what a gatehouse does: bring the body, wait."""
    while not isinstance(outcome, (Pass, Deny)):
        if isinstance(outcome, NeedsBody):
            outcome = outcome.decide(given)
        else:
            outcome = await outcome.wait()
    return outcome


PASSING, DENYING = Slow(Pass((b"x-a",), identity="a")), Slow(Deny(401, "gate-unauthenticated"))
HEAD = RequestHead(b"POST", b"/", b"h", [])


def answer(gate: object) -> Outcome:
    assert isinstance(gate, Slow)
    return gate.outcome


async def test_all_of_waits_for_each_and_refuses_by_the_first_that_can() -> None:
    ASKED.clear()
    both = all_of((body(b"right"), later(Pass((b"x-b",)))), answer)
    assert isinstance(both, NeedsBody)
    assert await settle(both, b"right") == Pass((b"x-b",), identity="body")
    assert await settle(all_of((body(b"right"), later(REFUSED)), answer), b"right") == REFUSED
    assert all_of((body(b"right"), later(Pass()), DENYING), answer) == DENYING.outcome
    assert ASKED == [b"right", b"right"]


async def test_any_of_asks_for_a_body_only_when_nothing_else_lets_the_visitor_in() -> None:
    ASKED.clear()
    assert any_of(((body(b"right"),), (later(Pass()),), (PASSING,)), answer) == PASSING.outcome
    assert ASKED == []
    outcome = any_of(((DENYING,), (body(b"right"),)), answer)
    assert passes(await settle(outcome, b"right"))
    refused = await settle(any_of(((DENYING,), (body(b"right"),)), answer), b"wrong")
    assert refused == Deny(401, "gate-unauthenticated")
    assert passes(await settle(any_of(((body(b"right"),), (later(Pass()),)), answer), b"wrong"))


@pytest.mark.parametrize(
    ("statuses", "told"), [((401, 403), 401), ((503, 401), 503), ((403, 413), 413), ((403,), 403)]
)
def test_of_several_refusals_the_most_telling_is_told(statuses: tuple[int, ...], told: int) -> None:
    choices = tuple((Slow(Deny(status, f"code-{status}")),) for status in (*statuses, 403))
    assert any_of(choices, answer) == Deny(told, f"code-{told}")
