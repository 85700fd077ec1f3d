"""Sign-ins that wait: whose they are, how many there may be, and when they are over."""

from __future__ import annotations

import re

import pytest
from tests.guard.oauth.conftest import OWNER, REDIRECT, Site

from underpass.guard.oauth.redirects import target_of
from underpass.guard.oauth.server import Asked
from underpass.guard.oauth.signins import (
    ALPHABET,
    BURST,
    MAX_OF_ADDRESS,
    MAX_WAITING,
    MAX_WRONG,
    REFILL_SECONDS,
    SECONDS,
    Decision,
    SignIns,
    TooManySignIns,
)


@pytest.fixture
def asked(site: Site, client_id: object) -> Asked:
    made = site.ask(client_id)
    assert isinstance(made, Asked)
    return made


@pytest.fixture
def sign_ins(site: Site) -> SignIns:
    return SignIns(lambda: site.now)


def test_a_code_is_short_and_free_of_words(sign_ins: SignIns, asked: Asked):
    code = sign_ins.begin(asked, "browser", "").code
    assert re.fullmatch(rf"[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}", code)
    assert not set("AEIOUY01258") & set(code)


def test_it_is_the_browsers_that_began_it(sign_ins: SignIns, asked: Asked):
    begun = sign_ins.begin(asked, "browser", "203.0.113.7")
    assert sign_ins.find(begun.id, "browser") is begun
    assert sign_ins.find(begun.id, "another") is None
    assert sign_ins.find("another", "browser") is None


@pytest.mark.parametrize("typed", [str, str.lower, lambda code: code.replace("-", " ")])
def test_the_owner_decides_by_code(sign_ins: SignIns, asked: Asked, typed):
    begun = sign_ins.begin(asked, "browser", "")
    assert sign_ins.approve("XXXX-XXXX", OWNER) is None
    assert sign_ins.approve(typed(begun.code), OWNER) is begun
    assert (begun.decision, begun.visitor) == (Decision.APPROVED, OWNER)
    assert sign_ins.deny(begun.code) is None, "it is decided once"
    sign_ins.take(begun)
    assert sign_ins.find(begun.id, "browser") is None


def test_a_denied_one_names_nobody(sign_ins: SignIns, asked: Asked):
    begun = sign_ins.begin(asked, "browser", "")
    assert sign_ins.deny(begun.code) is begun
    assert (begun.decision, begun.visitor) == (Decision.DENIED, None)


def test_it_waits_five_minutes(site: Site, sign_ins: SignIns, asked: Asked):
    begun = sign_ins.begin(asked, "browser", "")
    site.now += SECONDS - 1
    assert sign_ins.waiting() == (begun,)
    site.now += 1
    assert sign_ins.waiting() == ()
    assert sign_ins.approve(begun.code, OWNER) is None
    assert sign_ins.find(begun.id, "browser") is None


def test_one_address_cannot_take_every_place(sign_ins: SignIns, asked: Asked):
    for _ in range(MAX_OF_ADDRESS):
        sign_ins.begin(asked, "browser", "203.0.113.7")
    with pytest.raises(TooManySignIns):
        sign_ins.begin(asked, "browser", "203.0.113.7")
    assert sign_ins.begin(asked, "browser", "203.0.113.8")


def test_strangers_without_an_address_cannot_hurry(site: Site, sign_ins: SignIns, asked: Asked):
    for _ in range(BURST):
        sign_ins.begin(asked, "browser", "")
    with pytest.raises(TooManySignIns):
        sign_ins.begin(asked, "browser", "")
    site.now += REFILL_SECONDS
    sign_ins.begin(asked, "browser", "")
    for _ in range(MAX_WAITING - BURST - 1):
        site.now += REFILL_SECONDS
        sign_ins.begin(asked, "browser", "")
    site.now += REFILL_SECONDS
    with pytest.raises(TooManySignIns):
        sign_ins.begin(asked, "browser", "")
    site.now += SECONDS
    assert sign_ins.begin(asked, "browser", "")


def test_the_owner_sees_who_asks_and_no_secret(site: Site, sign_ins: SignIns, asked: Asked):
    begun = sign_ins.begin(asked, "the-browsers-secret", "203.0.113.7")
    site.now += 10
    told = begun.describe(site.now)
    assert (told["client"], told["client_origin"]) == ("A client", "registered")
    assert told["address"] == "203.0.113.7"
    assert (told["waiting_seconds"], told["expires_in"]) == (10, int(SECONDS) - 10)
    shown = repr(begun) + repr(told)
    assert "the-browsers-secret" not in shown
    assert begun.nonce not in shown
    assert begun.verifier not in shown
    assert begun.code not in shown


def test_the_owner_is_not_told_that_a_strangers_program_is_on_this_computer(
    sign_ins: SignIns, asked: Asked
):
    told = sign_ins.begin(asked, "browser", "203.0.113.7").describe(0.0)
    assert told["answer_to"] == "a program on the computer of that browser"
    assert target_of(REDIRECT) == "a program on this computer"


def test_half_a_code_turns_away_and_lets_nobody_in(sign_ins: SignIns, asked: Asked):
    begun = sign_ins.begin(asked, "browser", "")
    assert begun.describe(0.0)["code"] == begun.hint == f"{begun.code[:4]}-____"
    for half in (begun.hint, begun.code[:4]):
        assert sign_ins.approve(half, OWNER) is None
    assert begun.decision is Decision.WAITING
    assert sign_ins.deny(begun.hint) is begun


def test_who_tries_other_halves_turns_it_away(sign_ins: SignIns, asked: Asked):
    begun, other = (sign_ins.begin(asked, "browser", "") for _ in range(2))
    for _ in range(MAX_WRONG):
        assert sign_ins.approve(begun.code[:4] + "AAAA", OWNER) is None
    assert sign_ins.approve(begun.code, OWNER) is None
    assert begun.decision is Decision.DENIED
    assert sign_ins.approve(other.code, OWNER) is other


def test_an_ipv6_network_is_one_visitor(sign_ins: SignIns, asked: Asked):
    for host in range(MAX_OF_ADDRESS):
        sign_ins.begin(asked, "browser", f"2001:db8:1:2::{host:x}")
    with pytest.raises(TooManySignIns):
        sign_ins.begin(asked, "browser", "2001:db8:1:2:3::9")
    assert sign_ins.begin(asked, "browser", "2001:db8:1:3::9")
