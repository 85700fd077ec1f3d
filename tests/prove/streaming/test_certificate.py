"""A certificate is believed when it is whole, as it was signed, and by whom it should be."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from underpass.prove.streaming.certificate import (
    SCHEMA,
    Circumstances,
    canonical,
    certify,
    fingerprint,
    verify,
)
from underpass.prove.streaming.errors import CertificateRefused
from underpass.prove.streaming.judgement import LOOPBACK, judge
from underpass.prove.streaming.page import page
from underpass.prove.streaming.results import Measured, Parameters
from underpass.relay.server import key_text

KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
PRINT = fingerprint(KEY.public_key().public_bytes_raw())

WHERE = Circumstances(
    tunnel="tools",
    kind="http",
    engine="relay",
    tls="terminate",
    scheme="https",
    host="tools.example.com",
    seen_from="elsewhere",
    began="2026-01-02T03:04:05+00:00",
    ended="2026-01-02T03:05:05+00:00",
    version="0.1.0",
    system="Linux <x86_64>",
)


def measured(*faults: tuple[str, str]) -> Measured:
    return Measured(Parameters(), None, None, (), (), None, None, None, (), faults)


def made() -> dict[str, Any]:
    found = measured(("silence", "nothing <came>"))
    return certify(found, LOOPBACK, judge(found, LOOPBACK), WHERE, KEY)


def text(said: Any) -> bytes:
    return json.dumps(said, indent=2, ensure_ascii=False).encode()


def test_a_certificate_is_believed_whatever_its_layout() -> None:
    said = made()
    assert said["schema"] == SCHEMA == "underpass/v1/stream-certificate"
    for layout in (text(said), canonical(said), json.dumps(dict(reversed(said.items()))).encode()):
        assert verify(layout) == verify(layout, PRINT) == said


def test_the_public_host_is_told_by_its_hash_alone() -> None:
    assert b"example.com" not in text(made())
    assert "example.com" not in page(made())


def test_its_fingerprint_is_the_one_that_relays_know() -> None:
    assert key_text.fingerprint(KEY.public_key().public_bytes_raw()) == PRINT


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "verdict": lambda said: said.update(ok=True),
    "line": lambda said: said["lines"][0].update(outcome="passed"),
    "limit": lambda said: said["limits"].update(event_p99_us=9_000_000),
    "number": lambda said: said["parameters"].update(tokens=100_001),
    "truth for one": lambda said: said["parameters"].update(departures=True),
    "addition": lambda said: said.update(note="good"),
    "omission": lambda said: said.pop("engine"),
    "time": lambda said: said.update(began="2027-01-02T03:04:05+00:00"),
    "signature": lambda said: said["signature"].update(value="A" * 86),
    "algorithm": lambda said: said["signature"].update(algorithm="none"),
    "fingerprint": lambda said: said["signature"].update(fingerprint="SHA256:other"),
    "key": lambda said: said["signature"].update(key="A" * 43),
    "schema": lambda said: said.update(schema="underpass/v2/stream-certificate"),
    "unsigned": lambda said: said.pop("signature"),
    "fraction": lambda said: said["parameters"].update(size=10000000.0),
    "huge": lambda said: said["parameters"].update(size=2**60),
    "padding": lambda said: said["signature"].update(value=said["signature"]["value"] + "=="),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_certificate_is_refused(change: str) -> None:
    said = made()
    CHANGES[change](said)
    with pytest.raises(CertificateRefused) as refused:
        verify(text(said))
    assert refused.value.code == "certificate-refused"


@pytest.mark.parametrize(
    "odd", [b"", b"[]", b"{}", b"\xff", b'"x"', b"[" * 100_000, b'{"signature": null}', b"null"]
)
def test_what_is_no_certificate_is_refused(odd: bytes) -> None:
    with pytest.raises(CertificateRefused, match=r"no certificate|not known here"):
        verify(odd)


def test_a_name_that_stands_there_twice_is_refused() -> None:
    twice = text(made()).replace(b'"ok": false', b'"ok": true, "ok": false')
    with pytest.raises(CertificateRefused, match="no certificate"):
        verify(twice)


def test_another_key_is_told_from_the_one_that_is_wanted() -> None:
    with pytest.raises(CertificateRefused, match="it was signed by SHA256:"):
        verify(text(made()), fingerprint(OTHER.public_key().public_bytes_raw()))


def test_the_signature_is_good_for_nothing_else_of_the_same_key() -> None:
    said = made()
    body = canonical({name: value for name, value in said.items() if name != "signature"})
    # The key signs relays' transcripts, too: what it signs here begins with a label of its own.
    said["signature"]["value"] = _text(KEY.sign(body))
    with pytest.raises(CertificateRefused, match="does not hold"):
        verify(text(said))


def test_the_page_asks_nobody_for_anything_and_quotes_what_it_shows() -> None:
    shown = page(made())
    assert "nothing &lt;came&gt;" in shown
    assert "&lt;x86_64&gt;" in shown
    assert PRINT in shown
    for asking in ("http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link"):
        assert asking not in shown


def _text(raw: bytes) -> str:

    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
