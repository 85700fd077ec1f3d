"""Hundreds of ways round a gate, tried at every gate, through the public door of a real tunnel."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.e2e.bypass.attempts import attempts, request
from tests.e2e.raw import send, send_all

from underpass.assembly import OpenTunnel, open_tunnel
from underpass.guard.secrets import Secret
from underpass.model.options import OAuthOptions, OpenOptions
from underpass.model.spec import parse_spec
from underpass.testing.origins.http import HttpOrigin

SECRET = "whsec_c2VjcmV0LW9mLXRoaXMtdGVzdC1hbG9uZQ=="

GATES = (
    "--gate bearer",
    "--gate basic",
    "--gate basic:alice",
    "--gate ip:203.0.113.0/24",
    "--gate link",
    "--gate signature:github,env:UNDERPASS_TEST_HOOK",
    "--gate signature:standard,env:UNDERPASS_TEST_HOOK",
    "--gate signature:stripe,env:UNDERPASS_TEST_HOOK",
    "--gate signature:slack,env:UNDERPASS_TEST_HOOK",
    "--gate jwt:https://id.example.com,aud=tools,jwks=file:{jwks}",
    "--gate 'bearer|basic:alice|ip:203.0.113.0/24'",
    "--gate 'ip:127.0.0.1+bearer'",
    "--gate '/mcp=bearer' --gate '/hooks/*=signature:github,env:UNDERPASS_TEST_HOOK'",
    "--mcp --gate oauth --name tools",
)
"""Every kind, and some together. 127.0.0.1, from which the attempts come, is no friend."""


@pytest.fixture
def runtime() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="up-") as path:
        yield Path(path)


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    key = {"kty": "OKP", "crv": "Ed25519", "kid": "1", "alg": "EdDSA", "use": "sig"}
    key["x"] = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"  # RFC 8037, appendix A.2
    path.write_text(json.dumps({"keys": [key]}))
    return path


@asynccontextmanager
async def tunnel(words: str, home: Path, runtime: Path) -> AsyncIterator[OpenTunnel]:
    oauth = OAuthOptions(changing_url="oauth" in words)
    options = OpenOptions(state_dir=home / "state", runtime_dir=runtime, oauth=oauth)
    opened = await open_tunnel(parse_spec(words), options)
    try:
        yield opened
    finally:
        await opened.close()


def door_of(opened: OpenTunnel) -> int:
    port = urlsplit(opened.url or "").port
    assert port is not None
    return port


def for_door(wires: tuple[bytes, ...], port: int) -> list[bytes]:
    return [wire.replace(b"HOST", b"127.0.0.1:%d" % port) for wire in wires]


def test_there_are_more_than_five_hundred() -> None:
    assert len(attempts()) > 500


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("gate", GATES)
async def test_none_passes(
    gate: str, tmp_path: Path, runtime: Path, jwks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERPASS_TEST_HOOK", SECRET)
    async with (
        HttpOrigin() as origin,
        tunnel(f"{origin.port} {gate.format(jwks=jwks)}", tmp_path, runtime) as opened,
    ):
        port = door_of(opened)
        before = len(origin.requests)
        # On an MCP tunnel a visitor that ends its direction has left.
        answers = await send_all(port, for_door(attempts(), port), ends="--mcp" not in gate)
        reached = [each.target for each in origin.requests[before:]]
        passed = [answer[:40] for answer in answers if answer[9:10] in (b"2", b"3")]
    if "oauth" in gate:
        # What a client must find without a credential is answered by us.
        own = [answer for answer in passed if answer.startswith(b"HTTP/1.1 200")]
        assert len(own) <= 12, own
    else:
        assert passed == []
    assert reached == []
    assert sum(answer.startswith(b"HTTP/1.1 4") for answer in answers) > len(answers) * 0.9


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_an_open_path_opens_nothing_beside_it(tmp_path: Path, runtime: Path) -> None:
    async with (
        HttpOrigin() as origin,
        tunnel(f"{origin.port} --gate '/healthz=open' --gate bearer", tmp_path, runtime) as opened,
    ):
        port = door_of(opened)
        before = len(origin.requests)
        await send_all(port, for_door(attempts(), port))
        reached = {each.target for each in origin.requests[before:]}
    assert reached == {"/healthz"}


async def test_who_has_what_the_gate_asks_for_passes(tmp_path: Path, runtime: Path) -> None:
    """The control: the same door is not shut to everybody."""
    async with (
        HttpOrigin() as origin,
        tunnel(f"{origin.port} --gate bearer", tmp_path, runtime) as opened,
    ):
        token = opened.access.token
        assert isinstance(token, Secret)
        port = door_of(opened)
        fields = b"Authorization: Bearer " + token.reveal().encode()
        (wire,) = for_door((request(b"GET", b"/mine", b"HOST", fields),), port)
        assert (await send(port, wire)).startswith(b"HTTP/1.1 200")
        assert [each.target for each in origin.requests if each.target == "/mine"] == ["/mine"]
