"""A public relay: its own certificate, HTTPS visitors, and all the ways connectors come to it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import ssl
from pathlib import Path

import pytest
from tests.e2e.authority import DOMAIN, Authority, fingerprint, tls_relay
from tests.e2e.proxies import connect_proxy, tls_opening_proxy
from tests.e2e.stage import Relay, Stage
from tests.e2e.visitors import get

from underpass.testing.origins.http import HttpOrigin
from underpass.testing.origins.tcp import HalfCloseRecorder, TcpEcho


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
async def relay(stage: Stage, authority: Authority) -> Relay:
    return await tls_relay(stage, authority)


async def test_https_visitors_reach_the_tunnel_by_its_name(
    stage: Stage, authority: Authority, relay: Relay, origin: HttpOrigin
):
    assert relay.ready["public_url"] == f"https://{DOMAIN}:{relay.port}"
    tunnel = await stage.open(str(origin.port), "--name", "tools", *relay.link)
    assert tunnel.url == f"https://tools.{DOMAIN}:{relay.port}"
    assert tunnel.first["verdict"]["layers"]["tls"]["status"] == "passed"
    here = {"tls": authority.client(), "connect": ("127.0.0.1", relay.port)}
    answer = await get(f"{tunnel.url}/x", tunnel.bearer, **here)
    seen = {name.lower(): value for name, value in answer.json["headers"]}
    assert (answer.status, seen["x-forwarded-proto"]) == (200, "https")
    assert (await get(tunnel.url, **here)).status == 401
    other = f"elsewhere.{DOMAIN}:{relay.port}"
    assert (await get(tunnel.url, tunnel.bearer, host=other, **here)).status == 421
    missing = await get(f"https://{other}", **here)
    assert (missing.status, missing.code) == (503, "no-such-tunnel")
    assert await tunnel.stop() == 130


async def test_a_relay_is_known_by_its_fingerprint(
    stage: Stage, authority: Authority, relay: Relay, origin: HttpOrigin
):
    pin = fingerprint(authority.directory / "relay.pem")
    words = ("--relay", relay.url, "--enrol-token-file", str(relay.state / "enrol-token"))
    tunnel = await stage.open(str(origin.port), *words, "--relay-fingerprint", pin)
    assert tunnel.first["verdict"]["ok"] is True
    for trust in (("--relay-fingerprint", "00" * 32), ()):
        done = await stage.run("open", str(origin.port), *words, *trust, "--json")
        assert (done.code, done.json["error"]["code"]) == (7, "relay-certificate-wrong")


async def test_a_certificate_for_another_name_is_not_the_relays(
    stage: Stage, authority: Authority, origin: HttpOrigin
):
    chain, key = authority.sign("other", "other.localhost")
    mode = ("--domain", DOMAIN, "--tls-cert", str(chain), "--tls-key", str(key))
    relay = await stage.relay(mode=mode)
    words = (*relay.link, "--relay-ca", str(authority.file), "--json")
    done = await stage.run("open", str(origin.port), *words)
    assert (done.code, done.json["error"]["code"]) == (7, "relay-certificate-wrong")
    assert relay.pid  # and it goes on serving
    assert relay.process.returncode is None


async def test_sighup_serves_a_new_certificate_and_keeps_the_old_on_a_mistake(
    stage: Stage, authority: Authority, relay: Relay, origin: HttpOrigin
):
    tunnel = await stage.open(str(origin.port), "--name", "tools", *relay.link)
    chain, key = authority.sign("relay", DOMAIN, f"*.{DOMAIN}")
    relay.send_signal(signal.SIGHUP)
    assert await relay.event("reloaded") == {"schema": "underpass/v1/relay", "event": "reloaded"}
    assert await served_certificate(relay.port, authority) == fingerprint(chain)
    here = {"tls": authority.client(), "connect": ("127.0.0.1", relay.port)}
    assert (await get(tunnel.url, tunnel.bearer, **here)).status == 200
    good = fingerprint(chain)
    key.write_text("no key at all")
    relay.send_signal(signal.SIGHUP)
    told = await relay.next_line()
    assert '"code": "certificate-unusable"' in told
    assert await served_certificate(relay.port, authority) == good


async def served_certificate(port: int, authority: Authority) -> str:
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=authority.client(), server_hostname=DOMAIN
    )
    leaf = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return hashlib.sha256(leaf).hexdigest()


async def test_plain_http_is_redirected_for_get_and_head_only(
    stage: Stage, authority: Authority, free_port: int
):
    relay = await tls_relay(stage, authority, "--redirect-listen", f"127.0.0.1:{free_port}")
    door = {"connect": ("127.0.0.1", free_port)}
    for method in ("GET", "HEAD"):
        moved = await get(f"http://{DOMAIN}/a?b", method=method, **door)
        assert moved.status in (301, 307, 308)
        assert moved.headers["location"] == f"https://{DOMAIN}:{relay.port}/a?b"
    refused = await get(f"http://{DOMAIN}/a", method="POST", body=b"secret", **door)
    assert (refused.status, refused.code) == (403, "https-required")


async def test_all_addresses_can_be_listened_on(stage: Stage, authority: Authority):
    relay = await tls_relay(stage, authority, listen=":0")
    for host in ("127.0.0.1", "::1"):
        missing = await get(
            f"https://none.{DOMAIN}:{relay.port}",
            tls=authority.client(),
            connect=(host, relay.port),
        )
        assert missing.code == "no-such-tunnel"


async def test_links_come_through_a_proxy_that_knows_connect(
    stage: Stage, authority: Authority, origin: HttpOrigin
):
    """The names of this relay lead nowhere but in the proxy."""
    relay = await tls_relay(stage, authority, domain="relay.test")
    async with connect_proxy() as proxy:
        tunnel = await stage.open(
            str(origin.port), "--name", "tools", *relay.link, HTTPS_PROXY=proxy.url
        )
        assert f"relay.test:{relay.port}" in proxy.asked
        assert f"tools.relay.test:{relay.port}" in proxy.asked  # the proof's way
        here = {"tls": authority.client(), "connect": ("127.0.0.1", relay.port)}
        assert (await get(tunnel.url, tunnel.bearer, **here)).status == 200
        assert await tunnel.stop() == 130


async def test_a_proxy_that_refuses_is_named(
    stage: Stage, authority: Authority, relay: Relay, origin: HttpOrigin
):
    async with connect_proxy(refuses=True) as proxy:
        words = (str(origin.port), *relay.link, "--timeout", "2", "--json")
        done = await stage.run("open", *words, HTTPS_PROXY=proxy.url)
    assert (done.code, done.json["error"]["code"]) == (7, "relay-unreachable")
    assert f"127.0.0.1:{proxy.port}" in done.json["error"]["message"]


@pytest.mark.slow
async def test_a_box_that_opens_tls_is_noticed_unless_the_operator_accepts_it(
    stage: Stage, authority: Authority, origin: HttpOrigin, free_port: int
):
    """It lets only HTTP through: the link goes on as a WebSocket, and sees another certificate."""
    chain, key = authority.sign("front", DOMAIN, f"*.{DOMAIN}")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, key)
    relay = await tls_relay(stage, authority)
    far = authority.client("http/1.1")
    async with tls_opening_proxy(context, relay.port, far, DOMAIN) as box:
        words = ("--relay", f"https://{DOMAIN}:{box.port}", *relay.link[2:], "--json")
        done = await stage.run("open", str(origin.port), *words)
        assert (done.code, done.json["error"]["code"]) == (7, "tls-intercepted"), done.out
        assert box.asked[-1] == "GET /underpass/v1/link HTTP/1.1"
    await relay.stop()
    words = ("--front-fingerprint", fingerprint(chain))
    accepted = await tls_relay(stage, authority, *words, listen=f"127.0.0.1:{free_port}")
    async with tls_opening_proxy(context, free_port, far, DOMAIN) as box:
        words = ("--relay", f"https://{DOMAIN}:{box.port}", *accepted.link[2:], "--timeout", "4")
        done = await stage.run("open", str(origin.port), *words, "--json")
        # The link stands; what fails is the public door at 443, where this relay is said to be.
        assert done.json["error"]["code"] == "proof-failed", done.out


async def test_passed_through_tls_ends_at_the_connector(
    stage: Stage, authority: Authority, relay: Relay, origin: HttpOrigin
):
    chain, key = authority.sign("own", f"tools.{DOMAIN}")
    own = ("--tls", "passthrough", "--tls-cert", str(chain), "--tls-key", str(key))
    tunnel = await stage.open(str(origin.port), "--name", "tools", *own, *relay.link)
    context = authority.client()
    _, writer = await asyncio.open_connection(
        "127.0.0.1", relay.port, ssl=context, server_hostname=f"tools.{DOMAIN}"
    )
    leaf = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    assert hashlib.sha256(leaf).hexdigest() == fingerprint(chain)
    here = {"tls": context, "connect": ("127.0.0.1", relay.port)}
    answer = await get(f"{tunnel.url}/x", tunnel.bearer, **here)
    assert (answer.status, answer.json["target"]) == (200, "/x")
    assert (await get(tunnel.url, **here)).status == 401
    assert (await get(tunnel.url, tunnel.bearer, host=DOMAIN, **here)).status == 421
    page = (await stage.run("show", "tools")).out
    assert "visitors' TLS ends here, so its operator can only refuse," in page


async def test_reach_by_tls_carries_bulk_and_half_closes(
    stage: Stage, relay: Relay, recorder: HalfCloseRecorder
):
    tunnel = await stage.open(f"tcp://127.0.0.1:{recorder.port}", "--name", "data", *relay.link)
    await recorder.half_closes.get()  # the proof's connection
    far = stage.somebody_else("far")
    words = ("data", "--relay", relay.url, *relay.trust, "--token-file", str(tunnel.token_file))
    near = await far.start("reach", *words, "--json")
    port = int((await near.event("ready"))["listen"].rpartition(":")[2])
    data = os.urandom(2_000_000)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 30)
    assert answer.decode() == hashlib.sha256(data).hexdigest()
    writer.close()
    assert await near.stop() == 130


async def test_public_tcp_ports_come_from_the_range(
    stage: Stage, authority: Authority, echo: TcpEcho, free_port: int
):
    relay = await tls_relay(stage, authority, "--tcp-ports", f"{free_port}-{free_port}")
    words = (f"tcp://127.0.0.1:{echo.port}", "--gate", "ip:127.0.0.0/8", *relay.link)
    tunnel = await stage.open(*words)
    assert tunnel.url == f"tcp://{DOMAIN}:{free_port}"
    done = await stage.run("open", *words, "--json")
    assert (done.code, done.json["error"]["code"]) == (4, "ports-exhausted")


async def test_a_relay_without_a_range_gives_no_port(stage: Stage, relay: Relay, echo: TcpEcho):
    words = (f"tcp://127.0.0.1:{echo.port}", "--gate", "ip:127.0.0.0/8", *relay.link, "--json")
    done = await stage.run("open", *words)
    assert (done.code, done.json["error"]["code"]) == (4, "no-public-ports")
    assert "--tcp-ports FIRST-LAST" in done.json["error"]["hint"]


async def test_proxy_protocol_is_demanded_where_it_is_configured(
    stage: Stage, authority: Authority, free_port: int
):
    """A load balancer stands in front of the relay: it says whom it brings, or is not let in."""
    words = ("--proxy-protocol-from", "127.0.0.1/32")
    relay = await tls_relay(stage, authority, *words, listen=f"127.0.0.1:{free_port}")
    assert relay.url == f"https://{DOMAIN}"  # the balancer's port
    context = authority.client()
    brought = b"PROXY TCP4 192.0.2.9 127.0.0.1 4242 443\r\n"
    for header, status in ((brought, 503), (b"", None), (b"PROXY NONSENSE\r\n", None)):
        assert await through_balancer(free_port, header, context) == status


async def through_balancer(port: int, header: bytes, context: ssl.SSLContext) -> int | None:
    """The status of a request behind ``header``; None when the relay hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(header)
        await writer.drain()
        await writer.start_tls(context, server_hostname=f"none.{DOMAIN}")
        writer.write(f"GET / HTTP/1.1\r\nHost: none.{DOMAIN}\r\n\r\n".encode())
        line = await asyncio.wait_for(reader.readline(), 20)
        return int(line.split()[1])
    except (OSError, ssl.SSLError, asyncio.IncompleteReadError):
        return None
    finally:
        writer.transport.abort()
