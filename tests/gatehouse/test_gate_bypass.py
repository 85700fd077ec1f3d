"""Ways round the gates, tried on a real door with a real origin behind it: none gets through.

Every attempt is raw bytes from a visitor who has no right to what it asks for. It has failed when
the origin has heard nothing of it; controls show that each path opens for whoever has the right.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from tests.gatehouse.conftest import DEADLINE, KEY
from tests.guard.issuer import AUDIENCE, KEYS, NOW, b64, by_hand, claims, sign

from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.house import GatehouseSettings
from underpass.gatehouse.ports import Peer
from underpass.gatehouse.reader import DoorSettings
from underpass.gatehouse.reader_socket import SocketDoor, open_door
from underpass.guard.gates import Materials, forge
from underpass.guard.secrets import Secret
from underpass.model.gate_rules import parse_gates
from underpass.model.origin import parse_origin
from underpass.testing.origins.http import HttpOrigin

TOKEN = "up_" + "Ab1-" * 10 + "xyz"
HOOK_SECRET = "It's a Secret to Everybody"
BODY = b'{"event":"paid"}'
STRANGER = Peer("198.51.100.9", 4711, secure=True)
INSIDER = Peer("10.1.2.3", 4711, secure=True)

CLOSED = {
    "bearer": "/admin",
    "basic": "/staff",
    "ip": "/internal",
    "jwt": "/api",
    "signature": "/hooks",
    "nobody": "/elsewhere",
}
"""A closed path by the kind of the gate before it; to the last one no rule leads."""


def honest(kind: str) -> str:
    """The fields of a visitor who has the right to what stands behind ``kind``."""
    if kind == "bearer":
        return f"Authorization: Bearer {TOKEN}\r\n"
    if kind == "basic":
        return f"Authorization: Basic {b64encode(f'alice:{TOKEN}'.encode()).decode()}\r\n"
    if kind == "jwt":
        return f"Authorization: Bearer {sign(claims(), kid='rsa').decode()}\r\n"
    if kind == "signature":
        mac = hmac.new(HOOK_SECRET.encode(), BODY, sha256).hexdigest()
        return f"X-Hub-Signature-256: sha256={mac}\r\n"
    return ""


@dataclass
class Site:
    """One door; who comes in by it comes from ``peer``."""

    origin: HttpOrigin
    gatehouse: Gatehouse
    port: int = 0
    peer: Peer = STRANGER

    async def send(self, raw: bytes) -> int:
        """The status of the answer to ``raw``; 0 for none."""
        async with asyncio.timeout(DEADLINE):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(raw)
                line = await reader.readline()
            except ConnectionError:
                return 0
            finally:
                writer.transport.abort()
            return int(line.split(b" ")[1]) if line else 0


@asynccontextmanager
async def open_site(keys: Path, *texts: str, public: bool = False) -> AsyncIterator[Site]:
    path = keys / "jwks.json"
    path.write_text(json.dumps(KEYS))
    gates, rules = parse_gates(text.replace("{keys}", str(path)) for text in texts)
    materials = Materials(
        environment={"GITHUB_WEBHOOK_SECRET": HOOK_SECRET}, wall_clock=lambda: float(NOW)
    )
    secrets = {kind: Secret(TOKEN) for kind in ("bearer", "basic", "link")}
    forged = forge(gates, rules=rules, public=public, secrets=secrets, materials=materials)
    async with HttpOrigin() as origin:
        where = parse_origin(f"{origin.port}")
        settings = GatehouseSettings(where, where.kind, "tools", "one", KEY)
        site = Site(origin, Gatehouse(settings, forged.guard, wall_clock=lambda: float(NOW)))
        door = SocketDoor(
            site.gatehouse,
            DoorSettings(heartbeats=True, fin_departs=False),
            peer_of=lambda transport: site.peer,
        )
        server = await open_door(door)
        site.port = server.sockets[0].getsockname()[1]
        try:
            yield site
        finally:
            server.close()
            door.close()
            site.gatehouse.close()
            await site.gatehouse.wait_closed()


RULES = (
    "/admin,/admin/*=bearer",
    "/staff/*=basic:alice",
    "/internal/*=ip:10.0.0.0/8",
    f"/api/*=jwt:https://id.example.com,aud={AUDIENCE},jwks=file:{{keys}}",
    "/hooks/*=signature:github",
    "/open/*,/health=open",
)


def ask(
    target: str, headers: str = "", *, method: str = "GET", host: str = "tools.example"
) -> bytes:
    head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"
    return head.encode("latin-1")


TARGETS = [
    "/open/..{path}",
    "/open/../..{path}",
    "/open/.{path}",
    "/open/./..{path}",
    "/open/%2e%2e{path}",
    "/open/%2E%2E{path}",
    "/open/.%2e{path}",
    "/open/..%2f{bare}",
    "/open/..%2F{bare}",
    "/open%2f..{path}",
    "/open/..%5c{bare}",
    "/open/..\\{bare}",
    "/open\\..{path}",
    "/open/..;{path}",
    "/open/..;a=b{path}",
    "/open;/..{path}",
    "/open/;/..{path}",
    "/open/%2e%2e%2f{bare}",
    "/open/%252e%252e{path}",
    "/open/..%252f{bare}",
    "/open/%c0%ae%c0%ae{path}",
    "/open/..%c0%af{bare}",
    "/open/%u002e%u002e{path}",
    "/open/x/../..{path}",
    "/open/..%00{path}",
    "/open/../%09{path}",
    "/open/%ef%bc%8e%ef%bc%8e{path}",
    "/open/..%ef%bc%8f{bare}",
    "/open{path}/../..{path}",
    "/./{bare}",
    "//{bare}",
    "///{bare}",
    "/.{path}",
    "/%2e{path}",
    "/%2f{bare}",
    "/%2f%2f{bare}",
    "/;{path}",
    "/;x{path}",
    "/.;{path}",
    "\\{bare}",
    "/\\{bare}",
    "/%5c{bare}",
    "{path}",
    "{path}/",
    "{path}//",
    "{path}/.",
    "{path}/x",
    "{path}/../x",
    "{path}/../open",
    "{path}/../open/../{bare}",
    "{path}%2f",
    "{path}%2f..%2fopen",
    "{path};/open",
    "{path};x=/open",
    "{path}%3b/open",
    "{path}%00",
    "{path}%00/open",
    "{path}%20",
    "{path}.",
    "{path}./",
    "{path}%2e",
    "{path}?/open",
    "{path}?x=/../open",
    "{path}#/open",
    "{path}%23/open",
    "{path}%3f",
    "{upper}",
    "{title}",
    "{title}/x",
    "/open/..{upper}",
    "{escaped}",
    "{twice}",
    "http://tools.example{path}",
    "http://127.0.0.1{path}",
    "http://tools.example/open/..{path}",
    "http://tools.example/open@{bare}",
    "https://tools.example{path}",
    "//tools.example{path}",
    "tools.example{path}",
    "{bare}",
    "?{path}",
    "*{path}",
    "@127.0.0.1{path}",
    "/open/\x00{path}",
    "/open \t{path}",
    "/op\xe9n/..{path}",
]

HEADERS = [
    "X-Forwarded-For: 10.1.2.3\r\n",
    "X-Forwarded-For: 10.1.2.3, 198.51.100.9\r\n",
    "x-forwarded-for: 10.1.2.3\r\nX-FORWARDED-FOR: 10.1.2.3\r\n",
    "X_Forwarded_For: 10.1.2.3\r\n",
    "X-Forwarded_For: 10.1.2.3\r\n",
    "X-Real-IP: 10.1.2.3\r\n",
    "X_Real_IP: 10.1.2.3\r\n",
    "X-Client-IP: 10.1.2.3\r\n",
    "X-Cluster-Client-IP: 10.1.2.3\r\n",
    "X-Originating-IP: 10.1.2.3\r\n",
    "X-Remote-IP: 10.1.2.3\r\n",
    "X-Remote-Addr: 10.1.2.3\r\n",
    "True-Client-IP: 10.1.2.3\r\n",
    "CF-Connecting-IP: 10.1.2.3\r\n",
    "Fastly-Client-IP: 10.1.2.3\r\n",
    "Fly-Client-IP: 10.1.2.3\r\n",
    "Client-IP: 10.1.2.3\r\n",
    "Via: 1.1 10.1.2.3\r\n",
    "Forwarded: for=10.1.2.3\r\n",
    'Forwarded: for="[::ffff:10.1.2.3]";proto=https\r\n',
    "Forwarded: for=127.0.0.1, for=10.1.2.3\r\n",
    "X-Forwarded-For: 127.0.0.1\r\n",
    "X-Forwarded-For: ::1\r\n",
    "X-Forwarded-For: 0x0a010203\r\n",
    "X-Forwarded-For: 012.1.2.3\r\n",
    "X-Forwarded-For: 167838211\r\n",
    "X-Forwarded-For: 10.1.515\r\n",
    "X-Forwarded-Host: localhost\r\n",
    "X-Forwarded-Proto: https\r\n",
    "X-Forwarded-Uri: /open\r\n",
    "X-Forwarded-Path: /open\r\n",
    "X-Forwarded-Prefix: /open\r\n",
    "X-Forwarded-Method: OPTIONS\r\n",
    "X-Original-URL: /open\r\n",
    "X-Original-URI: /open\r\n",
    "X-Rewrite-URL: /open\r\n",
    "X-Original-Host: localhost\r\n",
    "X-HTTP-Method-Override: OPTIONS\r\n",
    "X-HTTP-Method: HEAD\r\n",
    "X-Method-Override: OPTIONS\r\n",
    "X-Forwarded-User: alice\r\n",
    "X-Forwarded-Email: alice@example.com\r\n",
    "X-Forwarded-Access-Token: x\r\n",
    "X-Auth-Request-User: alice\r\n",
    "X-Authenticated-User: alice\r\n",
    "X-Remote-User: alice\r\n",
    "Remote-User: alice\r\n",
    "Remote_User: alice\r\n",
    "X-WebAuth-User: alice\r\n",
    "Tailscale-User-Login: alice@example.com\r\n",
    "X-User: alice\r\n",
    "X-SSL-Client-Verify: SUCCESS\r\n",
    "X-Forwarded-Client-Cert: Subject=alice\r\n",
    "User-Agent: GoogleHC/1.0\r\n",
    "User-Agent: kube-probe/1.30\r\n",
    "User-Agent: ELB-HealthChecker/2.0\r\n",
    "User-Agent: underpass-prover\r\n",
    "User-Agent: GitHub-Hookshot/044aadd\r\n",
    "Underpass-Proof: v1.AAAA\r\n",
    "Underpass-Proof: v1.AAAA.deny=10.1.2.3\r\n",
    "Underpass-Proof-Answer: v1.AAAA\r\n",
    "Underpass-Gate: passed\r\n",
    "Underpass-Token:\r\n",
    "Underpass-Token: null\r\n",
    "Authorization:\r\n",
    "Authorization: Bearer\r\n",
    "Authorization: Bearer null\r\n",
    "Authorization: Bearer undefined\r\n",
    f"Authorization: Bearer {TOKEN[:-1]}\r\n",
    f"Authorization: Bearer {TOKEN}x\r\n",
    f"Authorization: Bearer {TOKEN.lower()}\r\n",
    f"Authorization: Bearer {TOKEN}, {TOKEN}\r\n",
    f"Authorization_: Bearer {TOKEN}\r\n",
    f"X-Authorization: Bearer {TOKEN}\r\n",
    f"Proxy-Authorization: Bearer {TOKEN}\r\n",
    f"Cookie: token={TOKEN}\r\n",
    f"X-Api-Key: {TOKEN}\r\n",
    "Authorization: Basic YWxpY2U6\r\n",
    "Authorization: Basic OmFsaWNl\r\n",
    f"Authorization: Basic alice:{TOKEN}\r\n",
    "X-Hub-Signature-256: sha256=\r\n",
    f"X-Hub-Signature-256: sha256={'0' * 64}\r\n",
    f"X-Hub-Signature: sha1={'0' * 40}\r\n",
    "X-GitHub-Event: ping\r\n",
    "Connection: authorization\r\n",
    "Connection: x-hub-signature-256, underpass-token\r\n",
    "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
    "Upgrade: h2c\r\nConnection: upgrade, http2-settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    "Origin: http://localhost\r\nAccess-Control-Request-Method: GET\r\n",
    "Referer: http://localhost/open\r\n",
    "Host: localhost\r\n",
    "Content-Length: 0\r\n",
    "Expect: 100-continue\r\n",
    "Range: bytes=0-\r\n",
    "X-Accel-Redirect: /open\r\n",
    "Max-Forwards: 0\r\n",
    "Mcp-Method: initialize\r\n",
]

METHODS = [
    "HEAD",
    "OPTIONS",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "TRACE",
    "CONNECT",
    "PROPFIND",
    "get",
    "Get",
    "GET\t",
    "X",
    "M-SEARCH",
    "PRI",
]

FORGED_TOKENS = [
    b64({"alg": "none"}) + b"." + b64(claims()) + b".",
    by_hand({"alg": "HS256", "kid": "rsa"}, claims(), mac=b""),
    sign(claims(aud="other"), kid="rsa"),
    sign(claims("https://evil.example"), kid="rsa"),
    sign(claims(exp=NOW - 100), kid="rsa"),
    sign(claims(), kid="enc"),
]


def spellings(template: str, path: str) -> str:
    values = {
        "path": path,
        "bare": path[1:],
        "upper": path.upper(),
        "title": "/" + path[1:].title(),
        "escaped": "/" + "".join(f"%{ord(char):02x}" for char in path[1:]),
        "twice": "/" + "".join(f"%25{ord(char):02x}" for char in path[1:]),
    }
    return template.format(**values)


def attempts(kind: str) -> Iterator[bytes]:
    """Everything that a stranger tries on the path behind ``kind``."""
    path = CLOSED[kind]
    for template in TARGETS:
        yield ask(spellings(template, path))
    for headers in HEADERS:
        yield ask(path, headers)
    for method in METHODS:
        yield ask(path, method=method)
        yield ask(path, "Content-Length: 2\r\n", method=method) + b"{}"
    for other in CLOSED:
        if other != kind and honest(other):
            yield ask(path, honest(other))
            yield ask(path, honest(other) + honest(other))
    for token in FORGED_TOKENS:
        yield ask(path, f"Authorization: Bearer {token.decode()}\r\n")
    for host in ("localhost", "127.0.0.1", "tools.example:80", "evil.example", "[::1]"):
        yield ask(path, host=host)
    yield f"GET {path} HTTP/1.0\r\n\r\n".encode()
    yield f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode()
    yield f"GET {path}\r\n\r\n".encode()
    yield ask("/open", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n") + ask(path)
    yield b"POST /open HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n" + ask(
        path
    )


def test_there_are_far_more_than_the_attempts_that_were_asked_for() -> None:
    assert sum(len(list(attempts(kind))) for kind in CLOSED) >= 1000


@pytest.mark.parametrize("kind", CLOSED)
async def test_no_stranger_gets_round_a_rule(tmp_path: Path, kind: str) -> None:
    async with open_site(tmp_path, *RULES) as site:
        for number, raw in enumerate(attempts(kind)):
            status = await site.send(raw)
            assert status in {0, 400, 401, 403, 405, 408, 413, 417, 421, 431, 501, 505}, (
                number,
                raw,
            )
            assert not site.origin.requests, (number, raw)
        assert site.gatehouse.statistics().connections == 0


@pytest.mark.parametrize("kind", [kind for kind in CLOSED if kind != "nobody"])
async def test_no_stranger_gets_round_a_rule_of_a_public_tunnel(tmp_path: Path, kind: str) -> None:
    async with open_site(tmp_path, *RULES[:-1], public=True) as site:
        path = CLOSED[kind]
        for number, raw in enumerate(attempts(kind)):
            site.origin.requests.clear()
            await site.send(raw)
            for seen in site.origin.requests:
                # What got through was for another path, and cannot be read as this one.
                readable = seen.target.partition("?")[0].lower()
                assert path not in readable, (number, raw)
                assert not {"%", "\\", ";", "//", ".."}.intersection(readable), (number, raw)
        assert (await site.send(ask("/welcome"))) == 200


ALONE = {
    "bearer": "bearer",
    "basic": "basic:alice",
    "ip": "ip:10.0.0.0/8",
    "jwt": f"jwt:https://id.example.com,aud={AUDIENCE},jwks=file:{{keys}}",
    "signature": "signature:github",
}


@pytest.mark.parametrize("kind", ALONE)
async def test_no_stranger_gets_round_a_gate_that_stands_alone(tmp_path: Path, kind: str) -> None:
    async with open_site(tmp_path, ALONE[kind]) as site:
        for number, raw in enumerate(attempts(kind)):
            await site.send(raw)
            assert not site.origin.requests, (number, raw)


@pytest.mark.parametrize("kind", ALONE)
async def test_who_has_the_right_passes(tmp_path: Path, kind: str) -> None:
    async with open_site(tmp_path, *RULES) as site:
        if kind == "ip":
            site.peer = INSIDER
        length = f"Content-Length: {len(BODY)}\r\n"
        raw = ask(CLOSED[kind], honest(kind) + length, method="POST") + BODY
        assert await site.send(raw) == 200
        (seen,) = site.origin.requests
        assert seen.target == CLOSED[kind]
        assert TOKEN not in repr(seen)
        assert await site.send(ask("/open/x")) == 200
        assert await site.send(ask(CLOSED["nobody"], honest(kind))) == 403
