"""Secrets are taken out of text and fields in every spelling they travel in."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.guard.redact import Redactor
from underpass.guard.secrets import Secret

TOKEN = "up_" + "Ab3-_" * 8 + "xyz"


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        (f"token {TOKEN} rejected", "token [redacted] rejected"),
        (f"https://a.example/{TOKEN}/x?y", "https://a.example/[redacted]/x?y"),
        (f"({TOKEN}{TOKEN})", "([redacted][redacted])"),
        ("Authorization: Bearer abcdefgh.ijkl", "Authorization: Bearer [redacted]"),
        ("authorization: bEARER  abcdefghijkl", "authorization: bEARER [redacted]"),
        ("got Basic YWxpY2U6c2VjcmV0 from", "got Basic [redacted] from"),
        ("tcp://bob:hunter2@db:5432/x", "tcp://[redacted]@db:5432/x"),
        ("the bearer of this", "the bearer of this"),
        ("https://a.example:443/x@y", "https://a.example:443/x@y"),
        ("nothing here", "nothing here"),
    ],
)
def test_what_is_secret_by_its_form_goes(text: str, scrubbed: str) -> None:
    redactor = Redactor()
    assert redactor.scrub(text) == scrubbed
    assert redactor.scrub(scrubbed) == scrubbed


def test_a_registered_secret_goes_in_every_spelling() -> None:
    redactor = Redactor()
    redactor.add(Secret("pass word/ä+12"), user="alice")
    for spelling in (
        "pass word/ä+12",
        "pass%20word%2F%C3%A4%2B12",
        b64encode("pass word/ä+12".encode()).decode(),
        b64encode("alice:pass word/ä+12".encode()).decode(),
    ):
        assert redactor.scrub(f"<{spelling}>") == "<[redacted]>"
    assert redactor.scrub_bytes(b"\xff<pass%20word%2F%C3%A4%2B12>") == b"\xff<[redacted]>"


def test_of_two_secrets_the_longer_goes_first() -> None:
    redactor = Redactor()
    redactor.add(Secret("abcdefgh"))
    redactor.add(Secret("abcdefghijkl"))
    assert redactor.scrub("abcdefghijkl") == "[redacted]"


def test_a_secret_too_short_to_tell_from_a_word_is_not_hunted() -> None:
    redactor = Redactor()
    redactor.add(Secret("the"))
    assert redactor.scrub("the tunnel") == "the tunnel"


def test_fields_that_carry_credentials_are_blanked_and_others_scrubbed() -> None:
    headers = [
        (b"AUTHORIZATION", b"Custom x"),
        (b"Cookie", b"a=b"),
        (b"Underpass-Token", b"x"),
        (b"Referer", b"https://a/" + TOKEN.encode() + b"/"),
        (b"Accept", b"*/*"),
    ]
    assert Redactor().scrub_headers(headers) == [
        (b"AUTHORIZATION", b"[redacted]"),
        (b"Cookie", b"[redacted]"),
        (b"Underpass-Token", b"[redacted]"),
        (b"Referer", b"https://a/[redacted]/"),
        (b"Accept", b"*/*"),
    ]
    assert headers[1] == (b"Cookie", b"a=b")


def test_a_redactor_does_not_show_what_it_knows() -> None:
    redactor = Redactor()
    redactor.add(Secret("hunter2hunter2"))
    assert "hunter2" not in repr(redactor)


@given(st.text(), st.text())
def test_a_token_never_survives_whatever_stands_around_it(before: str, after: str) -> None:
    redactor = Redactor()
    redactor.add(Secret(TOKEN))
    assert TOKEN not in redactor.scrub(before + TOKEN + after)


@given(st.binary())
def test_bytes_of_any_kind_can_be_scrubbed(data: bytes) -> None:
    Redactor().scrub_bytes(data)
