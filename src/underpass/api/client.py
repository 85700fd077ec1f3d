"""Asking one process over its Unix socket: plain calls, and the stream of its events.

Synchronous and light on purpose: ``list`` has 150 ms. HTTP is read by ``httptools``; asyncio, an
HTTP client library or the records of this package are never imported here.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httptools

from underpass.api.errors import Answered, ApiMisspoken
from underpass.model.errors_run import DaemonUnreachable, TimedOut

CALL_SECONDS = 5.0
"""For calls that only look something up."""

ANSWER_LIMIT = 4 * 1024 * 1024
"""Bytes of one answer or of one event's line: a thousand tunnels need less."""

_READ_SIZE = 64 * 1024


_GONE_AGAIN = 0.02
# A tunnel's end takes some hundredths of a second; nobody is told of a socket that goes.


class Call:
    """One request on its own connection, sent at once; the answer is read when asked for.

    Sending and reading are apart so that many processes can be asked before any is waited for.
    Raises ``DaemonUnreachable`` when nobody listens, ``TimedOut`` after ``seconds`` without a
    byte; ``seconds`` None waits for ever, as streams need.
    """

    def __init__(
        self,
        path: Path,
        method: str,
        target: str,
        body: Mapping[str, object] | None = None,
        *,
        seconds: float | None = CALL_SECONDS,
    ) -> None:
        self.path = path
        self.target = target
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.settimeout(CALL_SECONDS)
        payload = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {target} HTTP/1.1\r\nHost: underpass\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
        )
        try:
            self._sock.connect(str(path))
            self._sock.sendall(head.encode() + payload)
        except TimeoutError:
            self._sock.close()
            raise TimedOut(f"connecting to {path}", CALL_SECONDS) from None
        except OSError as error:
            self._sock.close()
            raise DaemonUnreachable(str(path)) from error
        self.allow(seconds)

    def allow(self, seconds: float | None) -> None:
        """From now on, wait so long for the next bytes; None: for ever."""
        self._seconds = seconds
        self._sock.settimeout(seconds)

    def __enter__(self) -> Call:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._sock.close()

    def answer(self) -> dict[str, Any]:
        """The whole answer; raises ``Answered`` when it is an error."""
        answer = _Answer()
        parser = httptools.HttpResponseParser(answer)
        while not answer.complete:
            if not self._feed(parser):
                raise ApiMisspoken(str(self.path), "it ended before its end")
            if len(answer.body) > ANSWER_LIMIT:
                raise ApiMisspoken(str(self.path), "it is too long")
        facts = self._decode(bytes(answer.body))
        if parser.get_status_code() >= 400:
            self._raise(facts)
        return facts

    def lines(self) -> Iterator[dict[str, Any]]:
        """Each object of a stream as it comes; returns when the stream has ended."""
        answer = _Answer()
        parser = httptools.HttpResponseParser(answer)
        while True:
            is_open = self._feed(parser)
            if answer.started and parser.get_status_code() >= 400:
                while not answer.complete and is_open:
                    is_open = self._feed(parser)
                self._raise(self._decode(bytes(answer.body)))
            *lines, rest = bytes(answer.body).split(b"\n")
            answer.body[:] = rest
            for line in lines:
                if line.strip():
                    yield self._decode(line)
            if answer.complete or not is_open:
                return
            if len(rest) > ANSWER_LIMIT:
                raise ApiMisspoken(str(self.path), "one of its lines is too long")

    def _feed(self, parser: httptools.HttpResponseParser) -> bool:
        try:
            data = self._sock.recv(_READ_SIZE)
            if data:
                parser.feed_data(data)
        except TimeoutError:
            raise TimedOut(f"{self.target} at {self.path}", self._seconds or 0.0) from None
        except httptools.HttpParserError:
            raise ApiMisspoken(str(self.path), "it is no HTTP") from None
        except OSError as error:
            raise DaemonUnreachable(str(self.path)) from error
        return bool(data)

    def _decode(self, body: bytes) -> dict[str, Any]:
        try:
            facts = json.loads(body)
        except ValueError:
            raise ApiMisspoken(str(self.path), "it is no JSON") from None
        if not isinstance(facts, dict):
            raise ApiMisspoken(str(self.path), "it is no JSON object")
        return facts

    def _raise(self, facts: dict[str, Any]) -> None:
        error = facts.get("error")
        if not isinstance(error, dict):
            raise ApiMisspoken(str(self.path), "its error is no error object")
        raise Answered(error)


def wait_gone(path: Path, seconds: float) -> None:
    """Wait until nobody listens at ``path`` any more, which is the last that a process lets go of,
    or until the time is up."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(CALL_SECONDS)
            try:
                sock.connect(str(path))
            except OSError:
                return
        time.sleep(_GONE_AGAIN)


class _Answer:
    """What httptools reports while it reads one response."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.started = False
        self.complete = False

    def on_headers_complete(self) -> None:
        self.started = True

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = True
