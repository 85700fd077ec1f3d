from __future__ import annotations

import pytest

from underpass.model.errors_run import NoSuchTunnel
from underpass.model.errors_spec import EngineUnknown, GateUnknown
from underpass.model.gates import GATE_KINDS, parse_gate
from underpass.model.nearest import nearest


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("baerer", "bearer"),
        ("BEARER", "bearer"),
        ("oath", "oauth"),
        ("signatur", "signature"),
        ("", ""),
        ("xyzzy", ""),
        ("\x00\x1b[31m", ""),
        ("bearer" * 10_000, ""),
    ],
)
def test_a_slip_of_the_finger_is_understood_and_nothing_else_is_guessed(word, meant):
    assert nearest(word, GATE_KINDS) == meant


def test_a_mistyped_gate_is_told_with_the_one_that_was_meant():
    with pytest.raises(GateUnknown) as caught:
        parse_gate("baerer")
    assert caught.value.hint.startswith("did you mean bearer? use bearer, basic[:USER]")
    with pytest.raises(GateUnknown) as caught:
        parse_gate("passphrase")
    assert caught.value.hint.startswith("use bearer")


def test_a_mistyped_engine_is_told_with_the_one_that_was_meant():
    known = "bore, cloudflare, relay"
    assert EngineUnknown("cloudflar", known).hint == (
        "did you mean cloudflare? name each of these at most once: bore, cloudflare, relay"
    )


def test_an_engine_named_twice_is_no_slip():
    assert EngineUnknown("relay", "bore, relay").hint == (
        "name each of these at most once: bore, relay"
    )


def test_a_tunnel_that_is_much_like_another_is_told_with_that_one():
    assert NoSuchTunnel("tool", "tools").hint == (
        "did you mean tools? see what is open: underpass list"
    )
    assert NoSuchTunnel("tool").hint == "see what is open: underpass list"
