"""A certificate authority of the test's own, and a relay that serves its certificates."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import trustme
from tests.e2e.stage import Relay, Stage

DOMAIN = "relay.localhost"
"""Leads to this machine everywhere (RFC 6761), in the system's resolver or not."""


class Authority:
    """Signs what a test asks for, into files below ``directory``."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self._ca = trustme.CA()
        self.file = directory / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.file))

    def sign(self, name: str, *hosts: str) -> tuple[Path, Path]:
        """Chain and key, as files ``name``; signing again replaces them."""
        leaf = self._ca.issue_cert(*hosts)
        chain, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        chain.write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))
        key.touch(mode=0o600)
        key.write_bytes(leaf.private_key_pem.bytes())
        return chain, key

    def client(self, *alpn: str) -> ssl.SSLContext:
        """A visitor who trusts this authority and nobody else."""
        context = ssl.create_default_context(cafile=str(self.file))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context


def fingerprint(chain: Path) -> str:
    """SHA-256 of the leaf in a PEM file."""
    first = chain.read_text().partition("-----END CERTIFICATE-----")[0]
    leaf = ssl.PEM_cert_to_DER_cert(first + "-----END CERTIFICATE-----\n")
    return hashlib.sha256(leaf).hexdigest()


async def tls_relay(
    stage: Stage,
    authority: Authority,
    *words: str,
    domain: str = DOMAIN,
    listen: str = "127.0.0.1:0",
) -> Relay:
    """`underpass relay serve --domain … --tls-cert … --tls-key …`."""
    chain, key = authority.sign("relay", domain, f"*.{domain}")
    mode = ("--domain", domain, "--tls-cert", str(chain), "--tls-key", str(key))
    relay = await stage.relay(*words, mode=mode, listen=listen)
    relay.trust = ("--relay-ca", str(authority.file))
    return relay
