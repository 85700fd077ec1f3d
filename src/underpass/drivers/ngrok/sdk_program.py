"""ngrok's Python SDK in a process of its own: run as a program, it logs as the agent does.

    python -P -m underpass.drivers.ngrok.sdk_program FILE

It is apart from our own process because it is native code with threads of its own, which was seen
to end an interpreter with signal 11 (1.4.0, after a refused credential): the gatehouse and every
other tunnel would go with it. It also never gives up a session whose far end answers nothing. Here
each of these is a program that ended, and is noticed as such.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from underpass import __version__

BEAT_SECONDS: Final = 3
SILENCE_SECONDS: Final = 8.0
# Two heartbeats that were not answered, so that a lost link shows within 10 s.

CONNECT_SECONDS: Final = 12.0


class Told(msgspec.Struct, frozen=True):
    """The file's content: see ``configuration.write_sdk``."""

    kind: str
    door: str
    wanted: str = ""
    policy: dict[str, Any] = {}
    metadata: str = ""
    authtoken: str = ""
    server: str = ""
    ca: str = ""


class Failure(Exception):
    """Why it ends: the words for the log."""

    def __init__(self, words: str, error: str = "") -> None:
        super().__init__(words)
        self.words = words
        self.error = error


class SdkTunnel:
    """One session with one listener: ``run`` it until it fails."""

    def __init__(
        self,
        told: Told,
        sdk: Any,
        say: Callable[..., None],
        *,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        """``sdk`` is the module ``ngrok``; ``say`` gets what is logged."""
        self._told = told
        self._sdk = sdk
        self._say = say
        self._silence = silence
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[Failure] = self._loop.create_future()
        self._beats = 0

    async def run(self) -> None:
        """Carry visitors. Always ends with ``Failure``, or when cancelled."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                session = await self._builder().connect()
                listener = await self._listen(session)
        except TimeoutError:
            raise Failure("failed to reconnect session", "timed out") from None
        except ValueError as error:
            # The SDK's one exception: words, the far end's text, its code.
            raise Failure("failed to reconnect session", " ".join(map(str, error.args))) from None
        forwarding = asyncio.ensure_future(listener.forward(self._told.door))
        self._say("info", "started tunnel", url=listener.url())
        silence = asyncio.create_task(self._watch_silence(), name="ngrok: heartbeats")
        try:
            await asyncio.wait({self._end, forwarding}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            silence.cancel()
            forwarding.cancel()
        raise self._end.result() if self._end.done() else Failure("session closed")

    def _builder(self) -> Any:
        told, builder = self._told, self._sdk.SessionBuilder()
        if told.authtoken:
            builder = builder.authtoken(told.authtoken)
        if told.server:
            builder = builder.server_addr(told.server)
        if told.ca:
            builder = builder.ca_cert(bytearray(Path(told.ca).read_bytes()))
        return (
            builder.client_info("underpass", __version__)
            .metadata(told.metadata)
            .heartbeat_interval(BEAT_SECONDS)
            .heartbeat_tolerance(BEAT_SECONDS)
            .handle_heartbeat(lambda milliseconds: self._from_thread(self._heard))
            .handle_disconnection(self._disconnected)
            .handle_stop_command(lambda: self._from_thread(self._fail, "stopped from afar"))
            .handle_restart_command(lambda: self._from_thread(self._fail, "stopped from afar"))
        )

    async def _listen(self, session: Any) -> Any:
        told = self._told
        if told.kind == "tcp":
            builder = session.tcp_endpoint()
            if told.wanted:
                builder = builder.remote_addr(told.wanted)
        else:
            builder = session.tls_endpoint() if told.kind == "tls" else session.http_endpoint()
            if told.wanted:
                builder = builder.domain(told.wanted)
        if told.policy:
            builder = builder.traffic_policy(json.dumps(told.policy))
        return await builder.metadata(told.metadata).listen()

    async def _watch_silence(self) -> None:
        """The SDK keeps a session whose heartbeats nobody answers."""
        while True:
            before = self._beats
            await asyncio.sleep(self._silence)
            if self._beats == before:
                self._fail("far end silent")

    # Called from the SDK's threads

    def _disconnected(self, address: str, error: str) -> bool:
        self._from_thread(self._fail, "session closed", str(error))
        return False

    def _from_thread(self, call: Callable[..., None], *arguments: str) -> None:
        self._loop.call_soon_threadsafe(call, *arguments)

    # On our loop

    def _heard(self) -> None:
        self._beats += 1

    def _fail(self, words: str, error: str = "") -> None:
        if not self._end.done():
            self._end.set_result(Failure(words, error))


def say(level: str, words: str, **facts: str) -> None:
    """Write one line of the log."""
    print(json.dumps({"lvl": level, "msg": words, **facts}), flush=True)  # noqa: T201


async def main(content: bytes) -> None:
    """Carry what the file's ``content`` says; returns when it cannot any more."""
    import ngrok  # an extra: nobody who does not use it pays for it

    try:
        await SdkTunnel(msgspec.json.decode(content, type=Told), ngrok, say).run()
    except Failure as failure:
        say("eror", failure.words, err=failure.error)


if __name__ == "__main__":
    try:
        asyncio.run(main(Path(sys.argv[1]).read_bytes()))
    finally:
        # Not through the interpreter's end, where the SDK's threads may crash it.
        os._exit(1)
