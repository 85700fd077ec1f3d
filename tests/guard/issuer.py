"""An issuer of tokens for tests: real keys, a real server for them, and a forger's workshop."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

NOW = 1_760_000_000
AUDIENCE = "https://tools.example.com/mcp"

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
WEAK_RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024)
P256 = ec.generate_private_key(ec.SECP256R1())
OTHER_P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()


def public_jwk(key: Any, **more: Any) -> dict[str, Any]:
    """The public half of ``key`` as an entry of a key set."""
    algorithms = jwt.algorithms
    if isinstance(key, rsa.RSAPrivateKey):
        made = algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        made = algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        made = algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    made = dict(made)
    made.pop("key_ops", None)
    return {**made, **more}


def public_pem(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[no-any-return]


KEYS = {
    "keys": [
        public_jwk(RSA, kid="rsa", use="sig"),
        public_jwk(P256, kid="p256", use="sig", alg="ES256"),
        public_jwk(P384, kid="p384"),
        public_jwk(ED, kid="ed"),
        public_jwk(WEAK_RSA, kid="weak"),
        {"kty": "oct", "kid": "oct", "k": base64.urlsafe_b64encode(b"k" * 32).decode()},
        public_jwk(OTHER_RSA, kid="enc", use="enc"),
    ]
}


def claims(issuer: str = "https://id.example.com", **changes: Any) -> dict[str, Any]:
    """Claims that pass, with ``changes``; a change to ... leaves that claim out."""
    made = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": "alice",
        "iat": NOW - 10,
        "nbf": NOW - 10,
        "exp": NOW + 600,
        **changes,
    }
    return {name: value for name, value in made.items() if value is not ...}


def sign(said: dict[str, Any], key: Any = RSA, alg: str = "RS256", **header: Any) -> bytes:
    """An honest token."""
    return jwt.encode(said, key, algorithm=alg, headers=header).encode()


def b64(data: bytes | dict[str, Any] | str) -> bytes:
    if isinstance(data, dict):
        data = json.dumps(data)
    if isinstance(data, str):
        data = data.encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def by_hand(header: Any, payload: Any, key: Any = RSA, mac: bytes | None = None) -> bytes:
    """A token whose header says anything at all, signed as RS256, or with the MAC key ``mac``."""
    signed = b64(header) + b"." + b64(payload)
    if mac is not None:
        return signed + b"." + b64(hmac.new(mac, signed, sha256).digest())
    signature = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(signed, key)
    return signed + b"." + b64(signature)


@dataclass
class KeyServer:
    """Serves documents by path over plain HTTP on loopback, and counts who asks."""

    documents: dict[str, bytes] = field(default_factory=dict)
    status: int = 200
    headers: str = ""
    asked: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the first who asks."""
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self, path: str, document: object) -> None:
        self.documents[path] = json.dumps(document).encode()


@contextlib.asynccontextmanager
async def key_server() -> AsyncIterator[KeyServer]:
    made = KeyServer()
    made.gate.set()
    tasks: set[asyncio.Task[object]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            line = await reader.readuntil(b"\r\n\r\n")
            path = line.split(b" ")[1].decode()
            made.asked.append(path)
            made.arrived.set()
            await made.gate.wait()
            body = made.documents.get(path, b"")
            status = made.status if path in made.documents else 404
            writer.write(
                f"HTTP/1.1 {status} X\r\n{made.headers}Content-Length: {len(body)}\r\n"
                "Connection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # cancelled when the test ends
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
        for _ in range(3):
            await asyncio.sleep(0)
