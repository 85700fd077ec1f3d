"""What a proof says and how both sides know it is true: MACs over nonces, and nothing else.

The prover asks with one header, ``Underpass-Proof: v1.<base64url>`` (nonce, unix seconds, MAC),
with ``.deny=<address>`` appended when it wants a foreign address judged as well, and with
``.measure=<question>`` when it asks the measuring origin (``measuring``). A proof the gatehouse
answers with 200, a JSON body and ``Underpass-Proof-Answer: v1.<base64url MAC>``, a MAC over nonce,
name, instance and that body. On byte streams the prover sends 32 armed random bytes and gets one
status byte and a 32-byte MAC.

Pure: the key, the nonce and the time are arguments. Every MAC is HMAC-SHA256 under one key per
tunnel that never leaves the owner's processes; its fields carry their lengths, so that no two
different questions have the same bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections import OrderedDict
from typing import Final

import msgspec

PROOF_HEADER: Final = b"Underpass-Proof"
PROOF_HEADER_LOWER: Final = b"underpass-proof"
ANSWER_HEADER: Final = b"Underpass-Proof-Answer"
ANSWER_HEADER_LOWER: Final = b"underpass-proof-answer"

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 16
MAC_BYTES: Final = 32
TCP_PREFIX_BYTES: Final = 32
TCP_ANSWER_BYTES: Final = 1 + MAC_BYTES

VALID_SECONDS: Final = 30
# DESIGN.md, The proof. It is also how far the clocks of two processes of one owner may differ.

MAX_NONCES: Final = 4096
# One prover asks every 15 s at most; this leaves a hundred provers with room. When it is full of
# fresh nonces a proof is refused: forgetting one early would let it be used twice.

_MAX_HEADER: Final = 256
_ASK_LABEL: Final = b"underpass-proof-v1\0"
_ANSWER_LABEL: Final = b"underpass-proof-answer-v1\0"
_TCP_LABEL: Final = b"underpass-proof-tcp-v1\0"


class ProofRequest(msgspec.Struct, frozen=True):
    """One valid question: reach the origin, or judge a foreign address as well."""

    nonce: bytes
    foreign: str = ""
    """The address the gatehouse shall judge by its ``ip`` gate; "" for a plain proof."""
    measure: str = ""
    """What the measuring origin shall do; "" for a proof."""


class LayerAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the gatehouse found about one layer."""

    status: str
    """``passed``, ``failed`` or ``open`` (the words of ``LayerStatus``)."""
    code: str = ""
    detail: str = ""
    ms: float | None = None


class ProofAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of an answer."""

    name: str
    instance: str
    layers: dict[str, LayerAnswer]
    """``gatehouse``, ``origin`` and, when a foreign address was named, ``gate``."""
    schema: str = "underpass/v1/proof"


_encode_answer = msgspec.json.Encoder().encode
_decode_answer = msgspec.json.Decoder(ProofAnswer).decode


def _mac(key: bytes, label: bytes, *fields: bytes) -> bytes:
    mac = hmac.new(key, label, hashlib.sha256)
    for field in fields:
        mac.update(len(field).to_bytes(4, "big"))
        mac.update(field)
    return mac.digest()


def _ask_mac(
    key: bytes, name: str, nonce: bytes, seconds: int, foreign: str, measure: str
) -> bytes:
    purpose = b"measure" if measure else b"deny" if foreign else b"live"
    return _mac(
        key,
        _ASK_LABEL,
        name.encode(),
        nonce,
        seconds.to_bytes(8, "big"),
        purpose,
        (measure or foreign).encode(),
    )


def make_request(
    key: bytes, name: str, *, nonce: bytes, now: float, foreign: str = "", measure: str = ""
) -> bytes:
    """The value of ``Underpass-Proof``. ``nonce`` must be fresh; ``now`` is unix time; at most one
    of ``foreign`` and ``measure`` is given."""
    if len(nonce) != NONCE_BYTES:
        raise ValueError("a proof's nonce has 16 bytes")
    seconds = int(now)
    mac = _ask_mac(key, name, nonce, seconds, foreign, measure)
    value = b"v1." + _to_text(nonce + seconds.to_bytes(8, "big") + mac)
    if measure:
        return value + b".measure=" + measure.encode("ascii")
    return value + b".deny=" + foreign.encode("ascii") if foreign else value


class ProofChecker:
    """The gatehouse's side: says whether a header is a question it must answer, once each.

    Holds the nonces of the last thirty seconds, at most ``MAX_NONCES``.
    """

    __slots__ = ("_key", "_name", "_seen")

    def __init__(self, key: bytes, name: str) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError("a proof key has 32 bytes")
        self._key = key
        self._name = name
        self._seen: OrderedDict[bytes, float] = OrderedDict()

    def __repr__(self) -> str:
        return f"ProofChecker(name={self._name!r})"

    def accept(self, value: bytes, now: float) -> ProofRequest | None:
        """The question in ``value``, or None: then it is an ordinary visitor's header.

        ``now`` is unix time. A nonce is accepted once.
        """
        parsed = _parse_request(value)
        if parsed is None:
            return None
        nonce, seconds, mac, foreign, measure = parsed
        expected = _ask_mac(self._key, self._name, nonce, seconds, foreign, measure)
        if not hmac.compare_digest(mac, expected):
            return None
        if abs(now - seconds) > VALID_SECONDS or not self._first_use(nonce, seconds, now):
            return None
        return ProofRequest(nonce, foreign, measure)

    def _first_use(self, nonce: bytes, seconds: int, now: float) -> bool:
        seen = self._seen
        while seen and next(iter(seen.values())) < now:
            seen.popitem(last=False)
        if nonce in seen or len(seen) >= MAX_NONCES:
            return False
        # Kept until no clock within the allowance can find it valid again, and in the order of
        # acceptance: a question from a fast clock is kept longer than it need be, never shorter.
        seen[nonce] = max(now, seconds) + 2 * VALID_SECONDS
        return True


def _parse_request(value: bytes) -> tuple[bytes, int, bytes, str, str] | None:
    if len(value) > _MAX_HEADER or not value.startswith(b"v1."):
        return None
    text, separator, rest = value[3:].partition(b".")
    foreign = measure = ""
    if separator:
        word, _, said = rest.partition(b"=")
        if word not in (b"deny", b"measure") or not said or not said.isascii():
            return None
        if word == b"deny":
            foreign = said.decode("ascii")
        else:
            measure = said.decode("ascii")
    raw = _from_text(text)
    if raw is None or len(raw) != NONCE_BYTES + 8 + MAC_BYTES:
        return None
    seconds = int.from_bytes(raw[NONCE_BYTES : NONCE_BYTES + 8], "big")
    return raw[:NONCE_BYTES], seconds, raw[NONCE_BYTES + 8 :], foreign, measure


def make_answer(key: bytes, nonce: bytes, answer: ProofAnswer) -> tuple[bytes, bytes]:
    """The body, and the value of ``Underpass-Proof-Answer`` that vouches for it."""
    body = _encode_answer(answer)
    return body, b"v1." + _to_text(_answer_mac(key, nonce, answer.name, answer.instance, body))


def check_answer(
    key: bytes, nonce: bytes, name: str, instance: str, value: bytes | None, body: bytes
) -> ProofAnswer | None:
    """What the gatehouse of ``instance`` found; None if anybody else wrote this answer.

    ``value`` is the header as received, None when it was missing.
    """
    if value is None or not value.startswith(b"v1."):
        return None
    mac = _from_text(value[3:])
    expected = _answer_mac(key, nonce, name, instance, body)
    if mac is None or not hmac.compare_digest(mac, expected):
        return None
    answer = _decode_answer(body)
    return answer if answer.name == name and answer.instance == instance else None


def _answer_mac(key: bytes, nonce: bytes, name: str, instance: str, body: bytes) -> bytes:
    digest = hashlib.sha256(body).digest()
    return _mac(key, _ANSWER_LABEL, nonce, name.encode(), instance.encode(), digest)


_TCP_STATUS: Final = {"passed": b"p", "failed": b"f", "open": b"o", "skipped": b"s"}
_TCP_WORDS: Final = {byte: word for word, byte in _TCP_STATUS.items()}


def make_tcp_answer(key: bytes, prefix: bytes, name: str, instance: str, gate: str) -> bytes:
    """The 33 bytes that answer an armed ``prefix``.

    ``gate`` says how the gatehouse judged the foreign address it was armed with: ``passed`` (it was
    refused), ``failed``, ``open`` (no gate by intent) or ``skipped``.
    """
    status = _TCP_STATUS[gate]
    return status + _mac(key, _TCP_LABEL, prefix, name.encode(), instance.encode(), status)


def check_tcp_answer(
    key: bytes, prefix: bytes, name: str, instance: str, data: bytes
) -> str | None:
    """The status of the gate layer; None if these bytes are not the gatehouse's answer."""
    if len(data) != TCP_ANSWER_BYTES:
        return None
    status = data[:1]
    expected = _mac(key, _TCP_LABEL, prefix, name.encode(), instance.encode(), status)
    return _TCP_WORDS.get(status) if hmac.compare_digest(data[1:], expected) else None


def _to_text(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _from_text(text: bytes) -> bytes | None:
    try:
        raw = base64.b64decode(text + b"=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if _to_text(raw) == text else None  # one spelling for one value
