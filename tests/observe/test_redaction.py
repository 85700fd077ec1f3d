"""Messages lose their secrets: fields, targets, forms, and texts in parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.http.messages import RequestHead, ResponseHead
from underpass.observe.redaction import WORD, Redaction

pytestmark = pytest.mark.pure

TOKEN = b"gh" + b"p_a1B2c3D4e5F6g7H8i9J0"


def test_fields_lose_credentials_and_keep_the_rest() -> None:
    fields, count = Redaction().fields(
        [(b"Accept", b"*/*"), (b"Authorization", b"Bearer x"), (b"X-Note", b"see " + TOKEN)]
    )
    assert fields == [(b"Accept", b"*/*"), (b"Authorization", WORD), (b"X-Note", b"see " + WORD)]
    assert count == 2


def test_the_field_that_a_gate_takes_away_is_redacted_though_it_was_seen_before() -> None:
    redaction, fields = Redaction(), [(b"X-Door", b"open sesame")]
    assert redaction.fields(fields)[0] == fields
    assert redaction.fields(fields, (b"x-door",))[0] == [(b"X-Door", WORD)]


@pytest.mark.parametrize(
    ("target", "left"),
    [
        (b"/a?page=2", b"/a?page=2"),
        (b"/a?token=abc&page=2", b"/a?token=%b&page=2" % WORD),
        (b"/cb?code=abc&state=x", b"/cb?code=%b&state=x" % WORD),
        (b"/a?to%6ben=abc", b"/a?to%%6ben=%b" % WORD),
        (b"/a?q=%7B%22password%22%3A%22x%22%7D&b=1", b"/a?q=%b&b=1" % WORD),
        (b"/" + TOKEN + b"/x", b"/%b/x" % WORD),
        (b"/a?x=" + TOKEN, b"/a?x=" + WORD),
    ],
)
def test_targets_lose_secret_values(target: bytes, left: bytes) -> None:
    assert Redaction().target(target)[0] == left


def test_a_registered_secret_is_found_anywhere() -> None:
    redaction = Redaction([b"open sesame"])
    assert redaction.text(b"say open sesame!") == (b"say %b!" % WORD, 1)
    assert redaction.target(b"/?q=open%20sesame")[0] == b"/?q=" + WORD


@given(data=st.data())
def test_a_secret_in_any_parts_is_found_in_all_of_them(data: st.DataObject) -> None:
    text = b'{"a": 1, "password": "canary-of-mine", "b": "' + TOKEN + b'", "c": 2}'
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1), max_size=6)))
    parts = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    said, count = Redaction().parts(parts)
    assert len(said) == len(parts)
    assert count == 2
    left = b"".join(part.replace(WORD, b"") for part in said)
    assert left == b'{"a": 1, "password": "", "b": "", "c": 2}'


def test_a_long_query_that_hides_a_secret_is_not_kept_at_all() -> None:
    query = b"&".join(b"a%d=%%20" % number for number in range(300)) + b"&to%6ben=abc"
    assert Redaction().target(b"/?" + query)[0] == b"/?" + WORD


def test_a_head_that_was_seen_is_judged_anew_when_a_gate_takes_a_field_of_it() -> None:
    redaction = Redaction()
    head = RequestHead(b"GET", b"/a?token=canary", b"h", [(b"X-Note", b"canary"), (b"A", b"1")])
    for _ in range(2):
        assert redaction.asked(head, ()).fields == head.headers
        stripped = redaction.asked(head, (b"x-note",))
        assert stripped.fields == [(b"X-Note", b"[redacted]"), (b"A", b"1")]
        assert (stripped.target, stripped.redacted) == ("/a?token=[redacted]", 2)


def test_heads_that_are_remembered_are_few_and_never_others() -> None:
    redaction = Redaction()
    for number in range(1000):
        name = b"%d" % number
        asked = redaction.asked(RequestHead(b"GET", b"/" + name, b"h", [(b"A", name)]), ())
        answered = redaction.answered(ResponseHead(200, b"", [(b"Set-Cookie", name), (b"B", name)]))
        assert (asked.target, asked.fields) == (f"/{number}", [(b"A", name)])
        assert answered.fields == [(b"Set-Cookie", b"[redacted]"), (b"B", name)]
        assert answered.redacted == 1
    assert len(redaction._asked) <= 128
    assert len(redaction._answered) <= 128
