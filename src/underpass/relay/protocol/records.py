"""The control records of the wire, as MessagePack: what stands in HELLO, OPEN and their kin.

Records travel as maps with short keys, so that a newer peer may add optional fields; unknown ones
are ignored. A changed meaning needs a new major ``VERSION``, which is refused with a clear error.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

T = TypeVar("T")

VERSION: Final = 1

RESUME_WINDOW: Final = 60.0
"""Seconds from the last byte received until an end gives a lane up (DESIGN.md)."""


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Base of the records: tolerant of unknown fields, silent about defaults."""


class Challenge(Record, frozen=True, kw_only=True, tag_field="t", tag="challenge"):
    """First words of the relay on every link: what the connector's signature must answer."""

    version: int = VERSION
    relay: str
    """The relay's own name: the host part of its URL."""
    nonce: bytes
    """32 fresh random bytes."""
    now: float
    """The relay's wall clock, unix seconds: tells a wrong clock from a refusal."""


class Terms(Record, frozen=True, kw_only=True):
    """What the tunnel is, as far as the public side must know it. Covered by the signature."""

    kind: str
    """``http``, ``mcp`` or ``tcp``."""
    tls: str = "terminate"
    """``terminate`` (the relay ends the visitor's TLS) or ``passthrough`` (the connector does)."""
    exposure: str = "gated"
    """For ``tcp``: ``gated`` gets no public port (visitors come by reach); ``open`` gets one."""
    gates: bytes = b""
    """SHA-256 over the canonical text of the gates: a changed guard is a changed HELLO."""
    allow: tuple[str, ...] = ()
    """Coarse address rule enforced at the edge too: CIDRs of an ``ip`` gate; empty: anybody."""
    lease_end: float
    """Hard end, unix seconds."""
    owner: str = ""
    purpose: str = ""


class Hello(Record, frozen=True, kw_only=True):
    """The connector's introduction. It travels inside ``SignedHello``."""

    version: int = VERSION
    role: str = "connector"
    relay: str
    nonce: bytes
    key: bytes
    """Raw Ed25519 public key, 32 bytes."""
    certificate: bytes = b""
    """SHA-256 of the relay's leaf certificate (DER) as seen on this link; empty only on a plain
    loopback link."""
    name: str = ""
    """The tunnel's name; empty asks for a random one."""
    instance: bytes
    """16 random bytes: one run of this connector for this tunnel."""
    epoch: int = 0
    """The relay's epoch for this instance, echoed; 0 while unknown."""
    lane: bytes
    """16 random bytes naming the lane."""
    generation: int
    """Higher for every link of a lane."""
    received: int = 0
    """Byte offset up to which this end has accepted the relay's lane bytes."""
    fresh: bool = False
    """This lane has never been welcomed: the relay creates it. Otherwise it must know it."""
    credit: int
    """First credit of every stream the relay opens on this lane."""
    terms: Terms
    token: str = ""
    """Enrolment token: sent only after ``key-unknown``."""

    def __repr__(self) -> str:
        return f"Hello(name={self.name!r}, instance={self.instance.hex()}, token=[hidden])"


class SignedHello(Record, frozen=True, kw_only=True, tag_field="t", tag="hello"):
    """A hello as the bytes that were signed, so that fields this end does not know are covered."""

    body: bytes
    """The ``Hello`` in MessagePack."""
    signature: bytes
    """Ed25519 over ``handshake.transcript``, 64 bytes."""

    def __repr__(self) -> str:
        return "SignedHello([hidden])"  # its body may hold an enrolment token


class Welcome(Record, frozen=True, kw_only=True, tag_field="t", tag="welcome"):
    """The relay accepts the link: lane bytes follow from the offsets now agreed."""

    version: int = VERSION
    name: str
    epoch: int
    lane: bytes
    generation: int
    received: int
    """Byte offset up to which the relay has accepted the connector's lane bytes."""
    credit: int
    public_url: str = ""
    """Where visitors come: ``https://name.relay…``, ``http://127.0.0.1:PORT``, ``tcp://…``, or
    empty for a tunnel that is reached only by ``underpass reach``."""
    lease_end: float
    """The end the relay will enforce; never later than asked."""


class Refuse(Record, frozen=True, kw_only=True, tag_field="t", tag="refuse"):
    """The relay refuses the link, and says why in stable codes (docs/errors.md)."""

    code: str
    message: str
    hint: str = ""
    retry_after: float = 0.0


class Drain(Record, frozen=True, kw_only=True, tag_field="t", tag="drain"):
    """The relay is about to stop: move to another link soon; open exchanges may finish."""

    grace: float


Greeting = Challenge | SignedHello | Welcome | Refuse


class Open(Record, frozen=True, kw_only=True):
    """A new stream, opened by the relay for one visitor."""

    kind: str
    """``http`` (structured exchange), ``tcp`` (bytes), ``tls`` (bytes of a visitor's TLS that the
    connector ends) or ``reach`` (bytes, after the gatehouse has accepted ``token``)."""
    credit: int
    """Bytes of answer the opener takes before it says more."""
    taken: int
    """First credit the opener assumed for its own sending: the acceptor's word at that time."""
    peer: tuple[str, int] = ("", 0)
    """The visitor's address as the edge saw it."""
    secure: bool = False
    """Whether the visitor came over TLS that ended at the edge."""
    token: str = ""
    """For ``reach``: the visitor's credential."""
    head: bytes | None = None
    """For ``http``: the request head, when credit covers it; otherwise HEAD frames follow."""
    body: bytes = b""
    """The whole small body, with ``end``."""
    end: bool = False
    """The request ends here."""

    def __repr__(self) -> str:
        return f"Open(kind={self.kind!r}, peer={self.peer!r}, token=[hidden])"


_encoder = msgspec.msgpack.Encoder()
_greeting: msgspec.msgpack.Decoder[Greeting] = msgspec.msgpack.Decoder(Greeting)
_hello = msgspec.msgpack.Decoder(Hello)
_open = msgspec.msgpack.Decoder(Open)
_drain = msgspec.msgpack.Decoder(Drain)


def decoded(decoder: msgspec.msgpack.Decoder[T], data: bytes | memoryview) -> T:
    """What ``decoder`` makes of ``data``; raises ``msgspec.DecodeError`` and nothing else.

    msgspec itself says a text that is not UTF-8, or arrays nested by the thousand inside a field
    that it skips, in other words.
    """
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError):
        raise msgspec.DecodeError("the bytes are not a well-formed record") from None


def encode(record: Record) -> bytes:
    """The record as one MessagePack map."""
    return _encoder.encode(record)


def decode_greeting(data: bytes) -> Greeting:
    """Parse a handshake record; raises ``msgspec.DecodeError``."""
    return decoded(_greeting, data)


def decode_hello(data: bytes) -> Hello:
    """Parse the body of a ``SignedHello``; raises ``msgspec.DecodeError``."""
    return decoded(_hello, data)


def decode_open(data: bytes) -> Open:
    """Parse an OPEN record; raises ``msgspec.DecodeError``."""
    return decoded(_open, data)


def decode_drain(data: bytes) -> Drain:
    """Parse a DRAIN record; raises ``msgspec.DecodeError``."""
    return decoded(_drain, data)
