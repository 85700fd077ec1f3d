"""Errors: sentences, hints, codes of a relay, and the page made of all of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from underpass.model import errors_relay, errors_run, errors_spec, lifecycle
from underpass.model.errors import (
    Misuse,
    Refused,
    UnderpassError,
    Unreachable,
    catalogue,
)
from underpass.model.errors_page import errors_table, kind_of
from underpass.model.errors_relay import relay_refusal

MODULES = (errors_spec, errors_relay, errors_run, lifecycle)
OURS = [cls for cls in catalogue() if cls.__module__ in {module.__name__ for module in MODULES}]
EXAMPLES = {"port": "1", "seconds": 3, "owner": 0, "theirs": 1, "ours": 2}


def made(cls: type[UnderpassError]) -> UnderpassError:
    names = getattr(cls, "__dataclass_fields__", {})
    return cls(**{name: EXAMPLES.get(name, name) for name in names})


@pytest.mark.parametrize("cls", OURS, ids=lambda cls: cls.code)
def test_every_error_says_what_could_not_be_done(cls: type[UnderpassError]) -> None:
    error = made(cls)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", cls.code)
    assert error.message.startswith("cannot ")
    assert not error.message.endswith(".")
    assert "{" not in error.message
    assert "{" not in (error.hint or "")
    assert str(error) == error.message
    assert set(error.to_dict()) == {"code", "message", "hint", "retryable"}
    assert cls.exit_code in {1, 2, 3, 4, 5, 6, 7, 8, 9}


@pytest.mark.parametrize(
    ("code", "exit_code", "retryable"),
    [
        ("unknown-scheme", 2, False),
        ("no-such-tunnel", 3, False),
        ("public-needs-duration", 4, False),
        ("name-not-yours", 4, False),
        ("own-control-port", 4, False),
        ("proof-failed", 5, True),
        ("origin-refused", 5, True),
        ("daemon-unreachable", 6, True),
        ("relay-certificate-wrong", 7, False),
        ("relay-too-old", 7, False),
        ("relay-unreachable", 7, True),
        ("timed-out", 8, True),
        ("name-taken", 9, False),
        ("clock-wrong", 1, False),
    ],
)
def test_exit_codes_follow_the_table(code: str, exit_code: int, retryable: bool) -> None:
    cls = {cls.code: cls for cls in OURS}[code]
    assert (cls.exit_code, cls.retryable) == (exit_code, retryable)


def test_a_sentence_and_a_hint_in_full() -> None:
    error = errors_run.ProofFailed(name="tools", layer="origin", detail="connection refused")
    assert error.to_dict() == {
        "code": "proof-failed",
        "message": "cannot prove 'tools': the layer origin is at fault (connection refused)",
        "hint": "watch it: underpass watch tools",
        "retryable": True,
    }


def test_the_relays_codes_become_errors_again() -> None:
    for code in [*errors_relay._BY_NAME, *errors_relay._BY_RELAY]:
        error = relay_refusal(code, relay="relay.example.com", name="tools")
        assert error.code == code
        assert "tools" in error.message or "relay.example.com" in error.message


@pytest.mark.parametrize("code", ["over-limit", "{0.__class__}", "a\x1b[2Jb", "x" * 1000])
def test_an_unknown_code_of_a_relay_is_shown_as_a_fact(code: str) -> None:
    error = relay_refusal(code, relay="relay.example.com", name="tools")
    assert error.code == "relay-refused"
    assert error.message.isprintable()
    assert len(error.message) < 250


def test_the_page_has_one_row_a_code() -> None:
    @dataclass(eq=False)
    class Sample(Refused):
        name: str
        code = "sample-code"
        sentence = "cannot use {name!r} | at {name:>3}"

    assert errors_table([Sample]) == (
        "| code | kind | exit | retryable | what it says | hint |\n"
        "|---|---|---|---|---|---|\n"
        "| `sample-code` | refused | 4 | no | cannot use *name* \\| at *name* |  |\n"
    )
    assert errors_table(OURS).count("\n") == len(OURS) + 2
    with pytest.raises(ValueError, match="sample-code"):
        errors_table([Sample, Sample])
    Sample.code = ""  # leaves the catalogue of this process as it was


def test_kinds_are_named() -> None:
    assert kind_of(Misuse) == "misuse"
    assert kind_of(Unreachable) == "unreachable"
    with pytest.raises(ValueError, match="of no kind"):
        kind_of(UnderpassError)
