"""What was measured: one record a measure, all of them integers, words and yes or no."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.prove.streaming.numbers import Spread


@dataclass(frozen=True, slots=True)
class Parameters:
    """How much is asked for."""

    samples: int = 100
    """Exchanges for the delay of the first byte."""
    rates: tuple[tuple[int, int], ...] = ((10, 30), (100, 300), (1000, 2000))
    """Events a second, and how many. The first rate also tells whether events are collected."""
    rounds: int = 3
    """How often delay is measured at most, until a round keeps its limit: whatever else a machine
    does only ever adds, so that the quietest round says most about the tunnel."""
    silence_ms: int = 20_000
    size: int = 10_000_000
    """Bytes of the large answer and of the large request."""
    tokens: int = 100_000
    """Events of the long answer and of the long request."""
    departures: int = 5
    """How often a visitor leaves, and how often the origin breaks."""


@dataclass(frozen=True, slots=True)
class FirstByte:
    """Until the first byte of an answer: both numbers from the request's last byte."""

    added: Spread
    """Through the public name, less what is usual on the straight way; of the quietest round."""
    straight: Spread
    rounds_p99_us: tuple[int, ...]
    """Added, in every round."""


@dataclass(frozen=True, slots=True)
class Events:
    """An event stream of one rate."""

    per_second: int
    sent: int
    seen: int
    """In the round in which most were lost."""
    added: Spread | None
    """Of each event, in the quietest round; None: none came."""
    straight: Spread
    clumped_permille: int
    """Events that came on the heels of the one before."""
    head_waited: bool
    """The head came no earlier than the first event."""
    rounds_p99_us: tuple[int, ...] = ()
    """Added, in every round."""


@dataclass(frozen=True, slots=True)
class Silence:
    """One kind of silence, as long as was asked for."""

    kind: str
    """``event-stream``, ``plain-answer``, or ``before-answer``."""
    asked_ms: int
    survived_ms: int
    comments: int
    """Comments that somebody put in to keep the stream alive."""
    is_whole: bool
    """The answer came to its end after the silence."""


@dataclass(frozen=True, slots=True)
class Cancellation:
    """How soon one end is told that the other has gone."""

    tried: int
    told: int
    delay: Spread | None
    """Of those that were told."""
    looked_complete: int = 0
    """Broken answers that the visitor could take for whole ones."""


@dataclass(frozen=True, slots=True)
class Body:
    """One large body."""

    direction: str
    """``down`` or ``up``."""
    kind: str
    """``bytes`` or ``tokens``."""
    size: int
    us: int
    straight_us: int
    is_intact: bool
    """Every byte came, in order, and none besides (by SHA-256)."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What the way made of messages, other than carry them."""

    content_coding: str
    """With which the answer was packed; "" for none."""
    is_text_same: bool
    answer_fields: tuple[str, ...]
    """Fields of the answer that were changed or taken away."""
    request_fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything. None, and a word in ``faults``, for what could not be measured."""

    parameters: Parameters
    connect: Spread | None
    first_byte: FirstByte | None
    events: tuple[Events, ...]
    bodies: tuple[Body, ...]
    changes: Changes | None
    leaving: Cancellation | None
    breaking: Cancellation | None
    silences: tuple[Silence, ...]
    faults: tuple[tuple[str, str], ...] = ()
    """Measure and why it failed."""
