"""Names that stop resolving and certificates that stop fitting: what goes on, and what is said."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from raw_visitor import Visitor
from told_origin import ToldOrigin, event
from tunnel_site import Connector, Names, PublicRelay, Site, measured

from underpass.testing.certificates import Certificate, self_signed

DOMAIN = "relay.test"
NAME = "tools"
HOSTS = (DOMAIN, f"{NAME}.{DOMAIN}")

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture
def certificate() -> Certificate:
    return self_signed(*HOSTS)


@pytest.fixture
def names(tmp_path: Path) -> Names:
    names = Names(tmp_path)
    names.mean("127.0.0.1", "localhost", *HOSTS)
    return names


@pytest.fixture
async def relay(site: Site, certificate: Certificate) -> PublicRelay:
    return await site.serve_public(DOMAIN, "127.0.0.1:0", certificate)


@pytest.fixture
async def origin() -> AsyncIterator[ToldOrigin]:
    async with ToldOrigin() as it:
        yield it


@pytest.fixture
async def tunnel(site: Site, relay: PublicRelay, names: Names, origin: ToldOrigin) -> Connector:
    return await site.open(
        *(origin.url, "--name", NAME, "--relay-ca", str(relay.chain)),
        relay=relay.url,
        enrol=relay.token_file,
        prefix=names.prefix,
    )


async def visit(tunnel: Connector, certificate: Certificate) -> Visitor:
    """A visitor who knows the address by other means, and believes the first certificate."""
    trust = ssl.create_default_context(cadata=certificate.certificate.decode())
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", tunnel.port, ssl=trust, server_hostname=f"{NAME}.{DOMAIN}"
    )
    return Visitor(tunnel.port, reader, writer, host=f"{NAME}.{DOMAIN}:{tunnel.port}")


async def prove(site: Site, names: Names) -> tuple[int, dict[str, Any]]:
    """`underpass prove`: exit code and answer."""
    process = await asyncio.create_subprocess_exec(
        *(*names.prefix, *site.command("prove", NAME, "--json")),
        stdout=asyncio.subprocess.PIPE,
        env=site.environment("owner"),
    )
    out, _ = await asyncio.wait_for(process.communicate(), 50)
    assert process.returncode is not None
    return process.returncode, json.loads(out)


async def test_while_names_do_not_resolve_the_last_good_address_is_used(
    site: Site,
    relay: PublicRelay,
    names: Names,
    origin: ToldOrigin,
    tunnel: Connector,
    certificate: Certificate,
) -> None:
    names.mean("")
    code, proved = await prove(site, names)
    assert (code, proved["verdict"]["layer"]) == (5, "name")
    assert proved["verdict"]["layers"]["name"]["code"].startswith("name-")
    await tunnel.wait_event("failing", layer="name")

    heard = len(tunnel.lines)
    await relay.kill()
    await tunnel.wait_event("link-lost", after=heard)
    again = await site.serve_public(DOMAIN, f"127.0.0.1:{relay.port}", certificate)
    back = time.monotonic()
    await tunnel.wait_event("link-restored", after=heard)
    measured("linked again without DNS after, seconds", time.monotonic() - back)
    async with asyncio.timeout(20):
        visitor = await visit(tunnel, certificate)
        await visitor.ask("/", tunnel.credential)
        assert (await visitor.head()).status == 200
        visitor.leave()

    heard = len(tunnel.lines)
    names.mean("127.0.0.1", "localhost", *HOSTS)
    live = await tunnel.wait_event("live", after=heard)
    assert live["verdict"]["layers"]["name"]["status"] == "passed"
    assert again.process.returncode is None


async def test_a_certificate_that_does_not_fit_is_named_while_streams_go_on(
    site: Site,
    relay: PublicRelay,
    names: Names,
    origin: ToldOrigin,
    tunnel: Connector,
    certificate: Certificate,
) -> None:
    visitor = await visit(tunnel, certificate)
    await visitor.ask("/sse", tunnel.credential)
    assert (await asyncio.wait_for(visitor.head(), 10)).status == 200
    stream = await origin.streams.get()

    for wrong, code in (
        (self_signed("elsewhere.test"), "certificate-"),
        (certificate, ""),
    ):
        heard = len(relay.lines)
        relay.chain.with_name("chain.pem").write_bytes(wrong.certificate)
        relay.key.write_bytes(wrong.key)
        relay.send(signal.SIGHUP)
        await relay.wait_event("reloaded", after=heard)
        exit_code, proved = await prove(site, names)
        tls = proved["verdict"]["layers"]["tls"]
        if code:
            assert (exit_code, proved["verdict"]["layer"]) == (5, "tls")
            assert tls["code"].startswith(code)
            await tunnel.wait_event("failing", layer="tls")
        else:
            assert (exit_code, proved["verdict"]["ok"]) == (0, True)
            assert tls["status"] == "passed"
        await stream.say(10)
    stream.end()
    body = await asyncio.wait_for(visitor.body(), 10)
    assert body == b"".join(event(number) for number in range(20))
    visitor.leave()
    assert not [line for line in tunnel.lines if line["event"] == "link-lost"]
