"""Tunnels with rules and newer gates, opened, proved and visited through the relay."""

from __future__ import annotations

import asyncio
import hmac
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

import underpass
from underpass.assembly import OpenTunnel
from underpass.guard.gates import PASSED, Guard
from underpass.model.errors import UnderpassError
from underpass.model.verdict import Layer, LayerStatus
from underpass.testing.origins import HttpOrigin

SECRET = "It's a Secret to Everybody"
DEADLINE = 10.0


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # not tmp_path: the paths of sockets are limited
    with tempfile.TemporaryDirectory(prefix="up-") as directory:
        monkeypatch.setenv("UNDERPASS_STATE_DIR", f"{directory}/state")
        monkeypatch.setenv("UNDERPASS_RUNTIME_DIR", f"{directory}/run")
        monkeypatch.setenv("GITHUB_WEBHOOK_SECRET", SECRET)
        yield Path(directory)


async def ask(tunnel: OpenTunnel, target: str, *headers: str, body: bytes = b"") -> int:
    """The status of one visit by the public name."""
    assert tunnel.url is not None
    host = tunnel.url.split("://")[1].rstrip("/")
    lines = [f"{'POST' if body else 'GET'} {target} HTTP/1.1", f"Host: {host}", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    async with asyncio.timeout(DEADLINE):
        port = int(host.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            return int((await reader.readline()).split(b" ")[1])
        finally:
            writer.transport.abort()


async def test_each_path_of_a_tunnel_has_its_gate_and_the_proof_tries_them_all(
    places: Path,
) -> None:
    gates = ["bearer", "/hooks/*=signature:github", "/healthz=open", "/in/*=ip:10.0.0.0/8|basic"]
    async with HttpOrigin() as origin, underpass.open(origin.port, gates=gates) as tunnel:
        assert tunnel.verdict.ok
        assert tunnel.verdict.layers[Layer.GATE].status is LayerStatus.PASSED
        assert tunnel.status().gates == tuple(gates)
        assert tunnel.access.gate == "bearer"
        assert tunnel.access.token is not None
        bearer = f"Authorization: Bearer {tunnel.access.token.reveal()}"
        body = b'{"ref":"main"}'
        mac = hmac.new(SECRET.encode(), body, sha256).hexdigest()
        signed = f"X-Hub-Signature-256: sha256={mac}"
        # Preflight looks at what is open to everybody, and at nothing else.
        assert {seen.target for seen in origin.requests} == {"/healthz"}
        origin.requests.clear()
        assert await ask(tunnel, "/healthz") == 200
        assert await ask(tunnel, "/") == 401
        assert await ask(tunnel, "/", bearer) == 200
        assert await ask(tunnel, "/hooks/x", bearer, body=body) == 403
        assert await ask(tunnel, "/hooks/x", signed, body=body) == 200
        assert await ask(tunnel, "/hooks/x", signed, body=body) == 403
        assert await ask(tunnel, "/in/x", bearer) == 401
        assert await ask(tunnel, "/healthz/../in/x") == 400
        assert [seen.target for seen in origin.requests] == ["/healthz", "/", "/hooks/x"]


async def test_a_large_webhook_is_held_and_passed_on_within_the_relays_credit() -> None:
    gates = ["signature:github"]
    async with HttpOrigin() as origin, underpass.open(origin.port, gates=gates) as tunnel:
        body = bytes(range(256)) * 8192
        signed = (
            f"X-Hub-Signature-256: sha256={hmac.new(SECRET.encode(), body, sha256).hexdigest()}"
        )
        assert await ask(tunnel, "/hooks", signed, body=body[:-1]) == 403
        assert not origin.requests
        assert await ask(tunnel, "/hooks", signed, body=body) == 200
        (seen,) = origin.requests
        assert (seen.body_length, seen.body_sha256) == (len(body), sha256(body).hexdigest())
        too_much = bytes(26 * 1024 * 1024)
        assert await ask(tunnel, "/hooks", signed, body=too_much) == 413
        assert len(origin.requests) == 1


async def test_in_public_the_gate_layer_is_open_once_the_rules_keep_strangers_out() -> None:
    gates = ["/admin/*=bearer"]
    async with (
        HttpOrigin() as origin,
        underpass.open(origin.port, gates=gates, public=True, seconds=600) as tunnel,
    ):
        assert tunnel.verdict.layers[Layer.GATE].status is LayerStatus.OPEN
        assert tunnel.status().gates == ("public", "/admin/*=bearer")
        assert await ask(tunnel, "/") == 200
        assert await ask(tunnel, "/admin/x") == 401


async def test_a_rule_that_lets_a_stranger_in_is_found_by_the_first_proof(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judge = Guard.judge_http

    def leak(self: Guard, head: object, peer: object) -> object:
        if head.target.startswith(b"/b"):  # type: ignore[attr-defined]
            return PASSED
        return judge(self, head, peer)  # type: ignore[arg-type]

    monkeypatch.setattr(Guard, "judge_http", leak)
    async with HttpOrigin() as origin:
        with pytest.raises(UnderpassError) as caught:
            async with underpass.open(origin.port, gates=["/a=bearer", "/b=bearer"], timeout=3.0):
                pass
    assert caught.value.code == "proof-failed"
    assert "gate" in caught.value.message
    assert {seen.target for seen in origin.requests} == {"/b"}


async def test_a_secret_that_is_missing_is_said_before_anything_opens(
    monkeypatch: pytest.MonkeyPatch, places: Path
) -> None:
    monkeypatch.delenv("GITHUB_WEBHOOK_SECRET")
    with pytest.raises(UnderpassError) as caught:
        async with underpass.open(1, gates=["signature:github"]):
            pass
    assert caught.value.code == "secret-missing"
    assert list((places / "run").iterdir()) == []


async def test_a_webhook_that_passed_is_refused_when_the_tunnel_is_opened_anew(
    places: Path,
) -> None:
    body = b'{"ref":"main"}'
    signed = f"X-Hub-Signature-256: sha256={hmac.new(SECRET.encode(), body, sha256).hexdigest()}"

    async def deliver(name: str, port: int) -> int:
        async with underpass.open(port, gates=["signature:github"], name=name) as tunnel:
            return await ask(tunnel, "/hooks", signed, body=body)

    async with HttpOrigin() as origin, HttpOrigin() as other:
        assert await deliver("hooks", origin.port) == 200
        assert await deliver("hooks", origin.port) == 403
        assert await deliver("others", origin.port) == 200, "another name has its own memory"
        # Without a name the address is another each time: what counts is where it leads.
        assert await deliver("", origin.port) == 200
        assert await deliver("", origin.port) == 403
        assert await deliver("", other.port) == 200
        assert len(origin.requests) == 3
    assert (places / "state" / "replays.db").stat().st_mode & 0o777 == 0o600


async def test_a_memory_of_webhooks_that_cannot_be_read_is_said_before_anything_opens(
    places: Path,
) -> None:
    (places / "state").mkdir(mode=0o700)
    file = places / "state" / "replays.db"
    file.touch(mode=0o600)
    file.write_bytes(b"not a database at all" * 100)
    with pytest.raises(UnderpassError) as caught:
        async with underpass.open(1, gates=["signature:github"]):
            pass
    assert caught.value.code == "replays-unusable"
    assert list((places / "run").iterdir()) == []
