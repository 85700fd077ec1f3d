"""A tunnel for the length of a block, in a program of one's own."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import os
import signal
import socket
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import underpass
from underpass.api.client import Call
from underpass.api.owner import login_name
from underpass.testing.origins import HttpOrigin


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # not tmp_path: the paths of sockets are limited
    with tempfile.TemporaryDirectory(prefix="up-") as directory:
        monkeypatch.setenv("UNDERPASS_STATE_DIR", f"{directory}/state")
        monkeypatch.setenv("UNDERPASS_RUNTIME_DIR", f"{directory}/run")
        yield Path(directory)


async def test_async_block_opens_and_closes_a_tunnel(places: Path) -> None:
    async with HttpOrigin() as origin:
        async with underpass.open(origin.port, name="library") as tunnel:
            assert tunnel.verdict.ok
            assert tunnel.status().name == "library"
            assert tunnel.access.token_file is not None
            assert tunnel.access.token_file.exists()
        assert tunnel.status().state == "closed"
    assert not tunnel.access.token_file.exists()
    assert list((places / "run").iterdir()) == []


def test_plain_block_serves_from_a_thread_of_its_own(places: Path) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with underpass.open(server.server_address[1]) as tunnel:
            assert tunnel.url is not None
            assert tunnel.access.token is not None
            request = urllib.request.Request(
                tunnel.url, headers={"Authorization": f"Bearer {tunnel.access.token.reveal()}"}
            )
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert answer.status == 200
        with pytest.raises(OSError):
            urllib.request.urlopen(request, timeout=10)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert list((places / "run").iterdir()) == []


def test_refused_tunnel_raises_and_leaves_nothing(places: Path) -> None:
    with pytest.raises(underpass.UnderpassError) as caught, underpass.open(1, timeout=1.0):
        pass
    assert caught.value.code == "origin-refused"
    assert list((places / "run").iterdir()) == []


async def test_the_oauth_gate_is_asked_for_in_the_same_words(places: Path) -> None:
    async with HttpOrigin() as origin:
        with pytest.raises(underpass.UnderpassError) as caught:
            async with underpass.open(origin.port, name="library", gates=["oauth"]):
                pass
        assert caught.value.code == "oauth-url-changes"
        changing = underpass.OAuthOptions(changing_url=True)
        opening = underpass.open(
            origin.port, name="library", gates=["oauth"], oauth=changing, tell_visitor=True
        )
        assert opening.options.tell_visitor
        async with opening as tunnel:
            assert tunnel.url is not None
            where = f"{tunnel.url.rstrip('/')}/.well-known/oauth-protected-resource"

            def fetch() -> bytes:
                with urllib.request.urlopen(where, timeout=10) as answer:
                    return bytes(answer.read())

            assert tunnel.url.rstrip("/").encode() in await asyncio.to_thread(fetch)


@pytest.fixture
def port() -> Iterator[int]:
    """Of an HTTP origin that needs no event loop of the test's."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_tunnel_is_proved_renewed_and_watched(port: int) -> None:
    async with underpass.open(port, name="library") as tunnel:
        events = tunnel.events()
        assert (await tunnel.prove()).ok
        before = tunnel.status().lease.ends_at
        assert (await tunnel.renew(100_000)).lease.ends_at > before
        async with asyncio.timeout(10):
            assert (await anext(events))["event"] == "lease-renewed"
    async with asyncio.timeout(10):
        assert [change["event"] async for change in events][-1] == "closed"


def test_a_plain_tunnel_has_the_same_words_and_its_calls_wait(port: int) -> None:
    with underpass.open(port, name="library", purpose="a look") as tunnel:
        assert tunnel.verdict.ok
        assert tunnel.prove().ok
        before = tunnel.status().lease.ends_at
        assert tunnel.renew(100_000).lease.ends_at > before
        assert tunnel.status().lease.owner == login_name()
    assert tunnel.status().state == "closed"
    with pytest.raises(underpass.UnderpassError) as caught:
        tunnel.prove()
    assert caught.value.code == "no-such-tunnel"


def test_a_plain_program_hears_that_somebody_closed_its_tunnel(port: int, places: Path) -> None:
    with underpass.open(port, name="library") as tunnel:
        (sock,) = (places / "run").glob("open-library-*.sock")
        with Call(sock, "POST", "/v1/tunnels/library/close", seconds=30) as call:
            closing = threading.Thread(target=call.answer)
            closing.start()
            assert tunnel.wait_closed()
            closing.join()


def test_an_interrupt_while_it_opens_leaves_nothing(places: Path) -> None:
    """The origin takes the first connection, says nothing, and presses Ctrl-C."""
    with socket.create_server(("127.0.0.1", 0)) as origin:

        def interrupt() -> None:
            taken, _ = origin.accept()
            with taken, contextlib.suppress(ConnectionError):
                os.kill(os.getpid(), signal.SIGINT)
                while taken.recv(4096):
                    pass

        thread = threading.Thread(target=interrupt)
        thread.start()
        opening = underpass.open(origin.getsockname()[1], name="library", timeout=60)
        with pytest.raises(KeyboardInterrupt), opening:
            pytest.fail("it is not to open")
        thread.join(10)
    assert list((places / "run").iterdir()) == []
    assert "underpass tunnel" not in [thread.name for thread in threading.enumerate()]


def test_engines_and_their_options_are_the_command_line_s(port: int) -> None:
    refused = underpass.open(port, engines=["ssh", "relay"], engine_options={"ssh.via": "-oX"})
    with pytest.raises(underpass.UnderpassError) as caught, refused:
        pass
    assert caught.value.code == "engine-option-invalid"
    second = underpass.open(port, engines=["wireguard", "relay"], engine_options={"host": "x"})
    with pytest.raises(underpass.UnderpassError) as caught, second:
        pass
    assert caught.value.code == "engine-option-invalid"
