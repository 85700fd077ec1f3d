"""What bore's client and server say to each other: pure. As in bore 0.6.0.

One connection to the server's port 7835 is the control: it asks for a port, and is told of every
visitor. For each visitor another connection is made, which names it and is bytes from then on. A
frame is JSON and ends with a NUL. A server with a secret begins each connection with a challenge.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from dataclasses import dataclass
from typing import Final

CONTROL_PORT: Final = 7835
MAX_FRAME: Final = 256


class BoreFailure(Exception):
    """Why a connection is of no use, in the words of bore's own client."""


@dataclass(frozen=True, slots=True)
class Listening:
    """The server listens for our visitors."""

    port: int


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody came; a connection that names ``id`` becomes theirs."""

    id: str


Event = Listening | Visitor


def answer_to(challenge: str, secret: str) -> str:
    """The proof that we know ``secret``. Raises ``ValueError`` for what is no UUID."""
    key = hashlib.sha256(secret.encode()).digest()
    return hmac.new(key, uuid.UUID(challenge).bytes, hashlib.sha256).hexdigest()


def frame(message: object) -> bytes:
    """One message as it is sent."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\0"


class Handshake:
    """How a connection begins: the challenge if there is a secret, then our first words."""

    def __init__(self, first: object, secret: str) -> None:
        self._first = frame(first)
        self._secret = secret
        self._rest = bytearray()
        self.is_over = not secret
        """Our first words were said; what comes from now on is not for us."""

    def begin(self) -> bytes:
        """What to send as soon as there is a connection."""
        return self._first if self.is_over else b""

    def receive_data(self, data: bytes) -> bytes:
        """Take in ``data``; returns what to send. Raises ``BoreFailure``."""
        self._rest += data
        if self.is_over or (message := _next_frame(self._rest)) is None:
            return b""
        match message:
            case {"Challenge": str(challenge)}:
                try:
                    answer = answer_to(challenge, self._secret)
                except ValueError:
                    raise BoreFailure("unexpected initial non-hello message") from None
            case _:
                words = "expected authentication challenge, but no secret was required"
                raise BoreFailure(words)
        self.is_over = True
        return frame({"Authenticate": answer}) + self._first

    def take_rest(self) -> bytes:
        """What came behind the handshake."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest


class Control:
    """The control connection."""

    def __init__(self, port: int, secret: str) -> None:
        self._handshake = Handshake({"Hello": port}, secret)
        self._rest = bytearray()
        self.is_listening = False

    def begin(self) -> bytes:
        """What to send as soon as there is a connection."""
        return self._handshake.begin()

    def receive_data(self, data: bytes) -> tuple[list[Event], bytes]:
        """Take in ``data``; returns what happened and what to send. Raises ``BoreFailure``."""
        answer = self._handshake.receive_data(data)
        if not self._handshake.is_over:
            return [], answer
        self._rest += self._handshake.take_rest()
        events: list[Event] = []
        while (message := _next_frame(self._rest)) is not None:
            events += self._understand(message)
        return events, answer

    def _understand(self, message: object) -> list[Event]:
        match message:
            case "Heartbeat" if self.is_listening:
                return []
            case {"Hello": int(port)} if not self.is_listening and 0 < port < 65_536:
                self.is_listening = True
                return [Listening(port)]
            case {"Connection": str(name)} if self.is_listening:
                try:
                    return [Visitor(str(uuid.UUID(name)))]
                except ValueError:
                    return []
            case {"Error": str(words)}:
                plain = "".join(each if each.isprintable() else "?" for each in words)
                raise BoreFailure(f"server error: {plain}")
            case {"Challenge": _} if not self.is_listening:
                raise BoreFailure(
                    "server requires authentication, but no client secret was provided"
                )
        if self.is_listening:
            return []
        raise BoreFailure("unexpected initial non-hello message")


def _next_frame(rest: bytearray) -> object | None:
    """Take the first whole frame out of ``rest``; None when there is none yet."""
    end = rest.find(b"\0", 0, MAX_FRAME + 1)
    if end < 0:
        if len(rest) > MAX_FRAME:
            raise BoreFailure("unexpected initial non-hello message: a frame is too long")
        return None
    text = bytes(rest[:end])
    del rest[: end + 1]
    try:
        message: object = json.loads(text)
    except (ValueError, RecursionError):
        message = None
    if message is None:
        raise BoreFailure("unexpected initial non-hello message: a frame is not JSON")
    return message
