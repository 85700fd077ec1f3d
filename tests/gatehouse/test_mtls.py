"""Client certificates where the visitor's TLS ends here: the authority's own, and no other."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.gatehouse.conftest import DEADLINE, KEY, RecordingVisitor, raw_origin, request
from tests.gatehouse.test_reader_tls import relay_to

from underpass.gatehouse.gatehouse import Gatehouse
from underpass.gatehouse.house import GatehouseSettings
from underpass.gatehouse.ports import Peer
from underpass.guard.gates import Materials, Pass, forge
from underpass.guard.mtls import ask_for_certificates
from underpass.guard.peer import ClientCertificate
from underpass.model.errors import UnderpassError
from underpass.model.gate_rules import parse_gates
from underpass.model.gates import parse_gate
from underpass.model.origin import parse_origin

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
DAY = datetime.timedelta(days=1)


@dataclass
class Site:
    """A gatehouse that asks for certificates, in front of an origin that counts."""

    gatehouse: Gatehouse
    public: trustme.CA
    authority: trustme.CA
    clock: list[float]
    heads: list[bytes] = field(default_factory=list)
    port: int = 0

    def client(
        self,
        certificate: trustme.LeafCert | None = None,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.check_hostname = False
        self.public.configure_trust(context)
        if certificate is not None:
            certificate.configure_cert(context)
        context.minimum_version = context.maximum_version = version
        return context

    async def connect(
        self, context: ssl.SSLContext, sni: str = "tools.example"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=context, server_hostname=sni
        )

    async def ask(
        self,
        context: ssl.SSLContext,
        path: str = "/closed",
        *,
        host: str = "tools.example",
        sni: str = "tools.example",
        headers: str = "",
    ) -> int:
        """The status of the answer; 0 when TLS or the connection broke."""
        try:
            async with asyncio.timeout(DEADLINE):
                reader, writer = await self.connect(context, sni)
                try:
                    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n".encode())
                    head = await reader.readuntil(b"\r\n\r\n")
                finally:
                    writer.transport.abort()
                return int(head.split(b" ")[1])
        except (OSError, asyncio.IncompleteReadError):
            return 0


Open = Callable[..., Site]


@asynccontextmanager
async def open_site(tmp_path: Path, more: str = "") -> AsyncIterator[Site]:
    public, authority, clock = trustme.CA(), trustme.CA(), [time.time()]
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.cert_pem.bytes())
    gates, rules = parse_gates([f"/closed,/closed/*=mtls:file:{path}{more}", "/open=open"])
    materials = Materials(wall_clock=lambda: clock[0])
    guard = forge(gates, rules=rules, materials=materials).guard
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    public.issue_cert("tools.example", "127.0.0.1").configure_cert(context)
    ask_for_certificates(context, rules[0].gates)
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(OK)

    async with raw_origin(serve) as origin:
        where = parse_origin(f"{origin.port}")
        settings = GatehouseSettings(where, where.kind, "tools", "one", KEY)
        gatehouse = Gatehouse(settings, guard, tls=context)
        gatehouse.set_public_urls(["https://tools.example", "https://127.0.0.1"])
        site = Site(gatehouse, public, authority, clock, heads)
        try:
            async with relay_to(gatehouse) as (site.port, _):
                yield site
        finally:
            gatehouse.close()
            await gatehouse.wait_closed()


@VERSIONS
async def test_a_certificate_of_the_authority_opens_what_it_guards(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    async with open_site(tmp_path) as site:
        alice = site.authority.issue_cert("alice@example.com")
        assert await site.ask(site.client(alice, version)) == 200
        assert await site.ask(site.client(alice, version), "/closed/below") == 200
        through = site.authority.create_child_ca().issue_cert("bob.example")
        assert await site.ask(site.client(through, version)) == 200


@VERSIONS
async def test_without_a_certificate_only_other_paths_are_open(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    async with open_site(tmp_path) as site:
        nobody = site.client(version=version)
        assert await site.ask(nobody, "/open") == 200
        assert await site.ask(nobody) == 403
        assert await site.ask(nobody, "/elsewhere") == 403
        assert len(site.heads) == 1


def leaf(authority: trustme.CA, usage: x509.ObjectIdentifier) -> trustme.LeafCert:
    """A certificate of ``authority`` for one purpose only."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    signer = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    now = datetime.datetime.now(datetime.UTC)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "only")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
        .sign(signer, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return trustme.LeafCert(pem, made.public_bytes(serialization.Encoding.PEM), [])


NOW = datetime.datetime.now(datetime.UTC)
BAD: dict[str, Callable[[Site], trustme.LeafCert]] = {
    "another authority": lambda site: trustme.CA().issue_cert("alice@example.com"),
    "the public certificate's authority": lambda site: site.public.issue_cert("alice@example.com"),
    "an authority of the same name": lambda site: trustme.CA(
        organization_name="trustme v1.2.1"
    ).issue_cert("alice@example.com"),
    "expired": lambda site: site.authority.issue_cert(
        "alice@example.com", not_before=NOW - 2 * DAY, not_after=NOW - DAY
    ),
    "not valid yet": lambda site: site.authority.issue_cert(
        "alice@example.com", not_before=NOW + DAY, not_after=NOW + 2 * DAY
    ),
    "for servers only": lambda site: leaf(site.authority, ExtendedKeyUsageOID.SERVER_AUTH),
    "for mail only": lambda site: leaf(site.authority, ExtendedKeyUsageOID.EMAIL_PROTECTION),
}


@VERSIONS
@pytest.mark.parametrize("how", BAD)
async def test_another_certificate_opens_nothing(
    tmp_path: Path, how: str, version: ssl.TLSVersion
) -> None:
    async with open_site(tmp_path) as site:
        assert await site.ask(site.client(BAD[how](site), version)) == 0
        assert site.heads == []
        good = leaf(site.authority, ExtendedKeyUsageOID.CLIENT_AUTH)
        assert await site.ask(site.client(good, version)) == 200


async def test_only_the_names_that_were_named_pass(tmp_path: Path) -> None:
    async with open_site(tmp_path, ",name=alice@example.com,name=bot.example") as site:
        for name, status in (
            ("alice@example.com", 200),
            ("bot.example", 200),
            ("mallory@example.com", 403),
            ("alice@example.com.evil.example", 403),
            ("sub.bot.example", 403),
            ("*.example", 403),
            ("ALICE@example.com", 403),
        ):
            certificate = site.authority.issue_cert(name)
            assert await site.ask(site.client(certificate)) == status, name
        # A common name counts only where there is no alternative name.
        named = site.authority.issue_cert("mallory@example.com", common_name="bot.example")
        assert await site.ask(site.client(named)) == 403


HOSTS = [
    ("tools.example", "tools.example", 200),
    ("tools.example:443", "tools.example", 200),
    ("TOOLS.example", "tools.example", 200),
    ("tools.example", "TOOLS.example", 200),
    ("other.example", "tools.example", 421),
    ("tools.example.evil.example", "tools.example", 421),
    ("evil.tools.example", "tools.example", 421),
    ("tools.example", "other.example", 421),
    ("127.0.0.1", "tools.example", 421),
    ("tools.example", "127.0.0.1", 200),
    ("127.0.0.1", "127.0.0.1", 200),
    ("localhost", "127.0.0.1", 200),
    ("evil.localhost", "127.0.0.1", 421),
    ("tools.example.", "tools.example", 421),
]


@VERSIONS
@pytest.mark.parametrize(("host", "sni", "status"), HOSTS)
async def test_host_must_be_the_name_that_tls_was_asked_for(
    tmp_path: Path, host: str, sni: str, status: int, version: ssl.TLSVersion
) -> None:
    """A bare address is never sent as a server name: such a visitor names none."""
    async with open_site(tmp_path) as site:
        alice = site.client(site.authority.issue_cert("alice@example.com"), version)
        assert await site.ask(alice, host=host, sni=sni) == status
        assert len(site.heads) == (status == 200)


CLAIMS = [
    "X-SSL-Client-Cert: {pem}",
    "X-SSL-Client-Verify: SUCCESS",
    "X-SSL-Client-S-DN: CN=alice@example.com",
    "SSL-Client-Verify: SUCCESS",
    "SSL_CLIENT_VERIFY: SUCCESS",
    "X-Client-Cert: {pem}",
    "X-Forwarded-Client-Cert: Subject=alice@example.com;URI=spiffe://alice",
    "X-Forwarded-Tls-Client-Cert: {pem}",
    "Client-Cert: :{pem}:",
    "X-Amzn-Mtls-Clientcert: {pem}",
    "Underpass-Certificate: {pem}",
    "X-ARR-ClientCert: {pem}",
    "Cf-Client-Cert-Sha256: 00",
    "X-Client-Verify: SUCCESS",
    "Authorization: Bearer alice@example.com",
    "X-Forwarded-User: alice@example.com",
    "User-Agent: GoogleHC/1.0",
    "X-Original-URL: /open",
    "X-Rewrite-URL: /open",
]


@pytest.mark.parametrize("claim", CLAIMS)
async def test_nobodys_word_for_a_certificate_counts(tmp_path: Path, claim: str) -> None:
    async with open_site(tmp_path) as site:
        pem = site.authority.issue_cert("alice@example.com").cert_chain_pems[0].bytes()
        header = claim.replace("{pem}", pem.decode().replace("\n", "%0A")) + "\r\n"
        assert await site.ask(site.client(), headers=header) in (400, 403)
        assert site.heads == []


async def test_a_stream_that_the_relay_says_is_secure_brings_no_certificate(
    tmp_path: Path,
) -> None:
    async with open_site(tmp_path) as site:
        visitor = RecordingVisitor()
        head = request(target=b"/closed")
        site.gatehouse.open_http(visitor, head, Peer("203.0.113.9", 1, secure=True))
        assert (await visitor.answer())[0] == 403


async def test_a_certificate_that_runs_out_closes_a_connection_that_is_open(
    tmp_path: Path,
) -> None:
    async with open_site(tmp_path) as site:
        soon = NOW + datetime.timedelta(hours=1)
        alice = site.authority.issue_cert("alice@example.com", not_after=soon)
        async with asyncio.timeout(DEADLINE):
            reader, writer = await site.connect(site.client(alice))
            for status in (b"200", b"403"):
                writer.write(b"GET /closed HTTP/1.1\r\nHost: tools.example\r\n\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.split(b" ")[1] == status
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                site.clock[0] += 7200
            writer.transport.abort()


def visit(
    site: Site, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[int, bool | None, ssl.SSLSession | None]:
    """The status, whether the session went on, and the session for the next visit."""
    with (
        socket.create_connection(("127.0.0.1", site.port), DEADLINE) as raw,
        context.wrap_socket(raw, server_hostname="tools.example", session=session) as secure,
    ):
        secure.sendall(b"GET /closed HTTP/1.1\r\nHost: tools.example\r\n\r\n")
        status = int(secure.recv(100).split(b" ")[1])
        return status, secure.session_reused, secure.session


@VERSIONS
async def test_a_session_of_another_tunnel_does_not_go_on_here(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    (tmp_path / "other").mkdir()
    async with open_site(tmp_path) as site, open_site(tmp_path / "other") as other:
        context = site.client(site.authority.issue_cert("alice@example.com"), version)
        context.verify_mode = ssl.CERT_NONE
        status, _, session = await asyncio.to_thread(visit, site, context, None)
        assert status == 200
        with pytest.raises(OSError):
            await asyncio.to_thread(visit, other, context, session)
        assert other.heads == []


@VERSIONS
async def test_a_session_that_goes_on_is_judged_anew(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    async with open_site(tmp_path) as site:
        soon = NOW + datetime.timedelta(hours=1)
        alice = site.authority.issue_cert("alice@example.com", not_after=soon)
        context = site.client(alice, version)
        status, _, session = await asyncio.to_thread(visit, site, context, None)
        assert status == 200
        site.clock[0] += 7200
        status, reused, _ = await asyncio.to_thread(visit, site, context, session)
        assert status == 403
        assert not reused or version is ssl.TLSVersion.TLSv1_2


def test_the_gate_judges_times_and_names_itself() -> None:
    made = forge(
        [parse_gate("mtls:file:/ca.pem,name=a")], materials=Materials(wall_clock=lambda: 50.0)
    ).guard
    for certificate, passes in (
        (None, False),
        (ClientCertificate(("a",), "00", 0, 100), True),
        (ClientCertificate(("b", "a"), "00", 0, 100), True),
        (ClientCertificate(("b",), "00", 0, 100), False),
        (ClientCertificate((), "00", 0, 100), False),
        (ClientCertificate(("a",), "00", 51, 100), False),
        (ClientCertificate(("a",), "00", 0, 49), False),
    ):
        outcome = made.judge_http(request(), Peer("", certificate=certificate))
        assert (type(outcome).__name__ == "Pass") is passes


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\xff"])
def test_an_authority_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with pytest.raises(UnderpassError) as caught:
        ask_for_certificates(context, [parse_gate(f"mtls:file:{path}")])
    assert caught.value.code == "keys-unreadable"
    assert str(path) in caught.value.message


def test_without_the_gate_nobody_is_asked() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ask_for_certificates(context, [parse_gate("bearer")])
    assert context.verify_mode is ssl.CERT_NONE


def test_a_name_that_cannot_be_shown_is_not_who_it_is() -> None:
    text = "mtls:file:/ca.pem"
    gate = forge([parse_gate(text)], materials=Materials(wall_clock=lambda: 5.0)).gates[text]
    for names, told in (
        (("alice\r\nX-Admin: 1", "bob"), "bob"),
        (("\x1b[2Jalice",), "ab" * 8),
        (("a name", "x" * 129), "ab" * 8),
        (("spiffe://t/alice",), "spiffe://t/alice"),
    ):
        peer = Peer("", certificate=ClientCertificate(names, "ab" * 32, 0.0, 10.0))
        assert gate.judge(request(), peer) == Pass(identity=f"mtls:{told}", until=10.0)
