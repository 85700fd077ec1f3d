"""The introduction: what is signed cannot be changed, moved, replayed or borrowed."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from underpass.model.errors_relay import RelayTooOld, TlsIntercepted
from underpass.relay.protocol.budget import WINDOW_LIMIT
from underpass.relay.protocol.errors import HandshakeError
from underpass.relay.protocol.handshake import LABEL, sign, transcript, verify
from underpass.relay.protocol.records import (
    Challenge,
    Hello,
    SignedHello,
    Terms,
    decode_greeting,
    decode_hello,
    encode,
)

pytestmark = pytest.mark.pure

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
LEAF, FRONT, FOREIGN = b"l" * 32, b"f" * 32, b"x" * 32
CHALLENGE = Challenge(relay="relay.example.com", nonce=b"n" * 32, now=1000.0)
TERMS = Terms(
    kind="mcp",
    tls="passthrough",
    exposure="open",
    gates=b"g" * 32,
    allow=("192.0.2.0/24",),
    lease_end=2000.0,
    owner="ops",
    purpose="demo",
)
HELLO = Hello(
    relay="relay.example.com",
    nonce=b"c" * 32,
    key=KEY.public_key().public_bytes_raw(),
    certificate=LEAF,
    name="tools",
    instance=b"i" * 16,
    epoch=5,
    lane=b"L" * 16,
    generation=3,
    received=77,
    fresh=True,
    credit=65536,
    terms=TERMS,
    token="enrol",
)


def signed(hello: Hello = HELLO, challenge: Challenge = CHALLENGE) -> SignedHello:
    return sign(hello, encode(challenge), KEY)


def judge(one: SignedHello, challenge: Challenge = CHALLENGE, *, plain: bool = False) -> Hello:
    accepted = frozenset() if plain else frozenset({LEAF, FRONT})
    return verify(one, challenge, accepted, plain=plain)


def changed(**fields: object) -> Hello:
    return msgspec.structs.replace(HELLO, **fields)


def test_introduction_comes_back_word_for_word() -> None:
    assert judge(signed()) == HELLO


def test_transcript_is_labelled_and_no_two_pairs_share_one() -> None:
    assert transcript(b"ab", b"c").startswith(LABEL)
    assert transcript(b"ab", b"c") != transcript(b"a", b"bc")
    assert transcript(b"", b"x") != transcript(b"x", b"")


def test_signature_is_deterministic_and_covers_the_challenge_as_it_stood_on_the_wire() -> None:
    newer = msgspec.msgpack.decode(encode(CHALLENGE))
    raw = msgspec.msgpack.encode({**newer, "motto": "per aspera"})
    assert sign(HELLO, raw, KEY).signature != signed().signature
    assert signed().signature == signed().signature


@pytest.mark.parametrize("part", range(8))
def test_introduction_with_one_bit_changed_is_refused(part: int) -> None:
    one = signed()
    for bit in range(part, len(one.body) * 8, 8):
        body = bytearray(one.body)
        body[bit // 8] ^= 1 << bit % 8
        with pytest.raises((HandshakeError, RelayTooOld, TlsIntercepted)):
            judge(SignedHello(body=bytes(body), signature=one.signature))


def test_signature_with_one_bit_changed_is_refused() -> None:
    one = signed()
    for bit in range(512):
        signature = bytearray(one.signature)
        signature[bit // 8] ^= 1 << bit % 8
        with pytest.raises(HandshakeError):
            judge(SignedHello(body=one.body, signature=bytes(signature)))


def one_bit(value: object) -> object:
    if isinstance(value, bytes):
        return bytes((value[0] ^ 1,)) + value[1:] if value else b"x"
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value ^ 1
    if isinstance(value, float):
        return value + 1
    if isinstance(value, str):
        return value[:-1] + chr(ord(value[-1]) ^ 1)
    if isinstance(value, tuple):
        return (one_bit(value[0]), *value[1:])
    assert isinstance(value, Terms)
    return msgspec.structs.replace(value, purpose="prod")


@pytest.mark.parametrize("name", Hello.__struct_fields__)
def test_every_field_of_the_introduction_is_covered(name: str) -> None:
    forged = changed(**{name: one_bit(getattr(HELLO, name))})
    assert forged != HELLO
    with pytest.raises((HandshakeError, RelayTooOld, TlsIntercepted)):
        judge(SignedHello(body=encode(forged), signature=signed().signature))


@pytest.mark.parametrize("name", Terms.__struct_fields__)
def test_every_word_of_the_terms_is_covered(name: str) -> None:
    terms = msgspec.structs.replace(TERMS, **{name: one_bit(getattr(TERMS, name))})
    with pytest.raises(HandshakeError):
        judge(SignedHello(body=encode(changed(terms=terms)), signature=signed().signature))


@pytest.mark.parametrize("name", ["relay", "nonce", "now", "version"])
def test_every_field_of_the_challenge_is_covered(name: str) -> None:
    other = msgspec.structs.replace(CHALLENGE, **{name: one_bit(getattr(CHALLENGE, name))})
    with pytest.raises(HandshakeError):
        judge(signed(), other)


def test_signature_replayed_under_another_challenge_is_refused() -> None:
    recorded = signed()
    with pytest.raises(HandshakeError):
        judge(recorded, Challenge(relay=CHALLENGE.relay, nonce=b"m" * 32, now=1001.0))


def test_introduction_to_one_relay_is_worth_nothing_at_another() -> None:
    with pytest.raises(HandshakeError, match="another relay"):
        judge(signed(), Challenge(relay="evil.example.com", nonce=b"n" * 32, now=1000.0))


def test_signature_of_another_key_is_refused() -> None:
    one = sign(HELLO, encode(CHALLENGE), OTHER_KEY)
    with pytest.raises(HandshakeError, match="signature"):
        judge(one)


def test_introduction_that_names_another_key_is_refused() -> None:
    stolen = changed(key=OTHER_KEY.public_key().public_bytes_raw())
    with pytest.raises(HandshakeError, match="signature"):
        judge(signed(stolen))


# -- certificates -----------------------------------------------------------------------------


@pytest.mark.parametrize("certificate", [LEAF, FRONT])
def test_served_leaf_and_front_proxies_are_accepted(certificate: bytes) -> None:
    assert judge(signed(changed(certificate=certificate))).certificate == certificate


@pytest.mark.parametrize("certificate", [FOREIGN, LEAF[:-1], LEAF + b"l", LEAF[:-1] + b"m"])
def test_another_certificate_is_interception(certificate: bytes) -> None:
    with pytest.raises(TlsIntercepted) as caught:
        judge(signed(changed(certificate=certificate)))
    assert caught.value.code == "tls-intercepted"
    assert caught.value.hint


def test_empty_certificate_is_right_on_a_plain_link_and_nowhere_else() -> None:
    plain = signed(changed(certificate=b""))
    assert judge(plain, plain=True).certificate == b""
    with pytest.raises(TlsIntercepted):
        judge(plain)
    with pytest.raises(TlsIntercepted):
        verify(plain, CHALLENGE, frozenset({b""}), plain=False)


def test_certificate_on_a_plain_link_is_interception() -> None:
    with pytest.raises(TlsIntercepted):
        judge(signed(), plain=True)


# -- versions and shapes ----------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 2, 3, 1000])
def test_other_major_version_is_refused_with_its_own_code(version: int) -> None:
    with pytest.raises(RelayTooOld) as caught:
        judge(signed(changed(version=version)))
    assert caught.value.code == "relay-too-old"
    assert (caught.value.theirs, caught.value.ours) == (1, version)


def test_unknown_fields_are_accepted_and_covered() -> None:
    body = msgspec.msgpack.encode({**msgspec.msgpack.decode(encode(HELLO)), "colour": "red"})
    signature = KEY.sign(transcript(encode(CHALLENGE), body))
    assert judge(SignedHello(body=body, signature=signature)) == HELLO
    with pytest.raises(HandshakeError):
        judge(SignedHello(body=body.replace(b"red", b"rod"), signature=signature))


def test_missing_optional_fields_have_their_defaults() -> None:
    bare = Hello(
        relay=CHALLENGE.relay,
        nonce=b"c" * 32,
        key=HELLO.key,
        instance=b"i" * 16,
        lane=b"L" * 16,
        generation=1,
        credit=4096,
        terms=Terms(kind="http", lease_end=1.0),
    )
    back = judge(signed(bare), plain=True)
    assert (back.name, back.epoch, back.received, back.fresh, back.token) == ("", 0, 0, False, "")
    assert (back.terms.tls, back.terms.exposure, back.terms.allow) == ("terminate", "gated", ())


@pytest.mark.parametrize(
    "fields",
    [
        {"role": "relay"},
        {"nonce": b""},
        {"nonce": b"c" * 31},
        {"key": b""},
        {"key": b"k" * 33},
        {"instance": b"i" * 15},
        {"instance": b""},
        {"lane": b"L" * 17},
        {"epoch": -1},
        {"epoch": 2**63},
        {"generation": 0},
        {"generation": -1},
        {"generation": 2**63},
        {"received": -1},
        {"received": 2**63},
        {"credit": 0},
        {"credit": -1},
        {"credit": WINDOW_LIMIT + 1},
    ],
    ids=str,
)
def test_field_out_of_its_bounds_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(HandshakeError):
        judge(signed(changed(**fields)))


@pytest.mark.parametrize("body", [b"", b"\xc0", b"\x80", b"\xc1", b"\x93\1\2\3", b"junk" * 9])
def test_introduction_that_is_no_record_is_refused(body: bytes) -> None:
    with pytest.raises(HandshakeError):
        judge(SignedHello(body=body, signature=b"s" * 64))


@pytest.mark.parametrize("size", [0, 1, 63, 65, 1000])
def test_signature_of_the_wrong_size_is_refused(size: int) -> None:
    with pytest.raises(HandshakeError):
        judge(SignedHello(body=signed().body, signature=b"s" * size))


def test_signed_hello_survives_the_wire() -> None:
    one = signed()
    back = decode_greeting(encode(one))
    assert back == one
    assert isinstance(back, SignedHello)
    assert decode_hello(back.body) == HELLO


def test_token_is_in_no_repr() -> None:
    assert "enrol" not in repr(HELLO)
    assert "enrol" not in repr(signed())
