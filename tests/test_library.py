"""A tunnel for the length of a block, in a program of one's own."""

from __future__ import annotations

import asyncio
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import underpass
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
    import http.server
    import threading

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
