"""Client certificates through a public relay that cannot read what passes."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from tests.e2e.authority import DOMAIN, Authority, tls_relay
from tests.e2e.stage import Stage
from tests.e2e.visitors import get

from underpass.testing.origins.http import HttpOrigin


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


async def test_a_certificate_of_the_owners_authority_opens_a_passed_through_tunnel(
    stage: Stage, authority: Authority, origin: HttpOrigin, tmp_path: Path
):
    relay = await tls_relay(stage, authority)
    clients = trustme.CA()
    clients.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
    chain, key = authority.sign("own", f"tools.{DOMAIN}")
    own = ("--tls", "passthrough", "--tls-cert", str(chain), "--tls-key", str(key))
    gate = f"mtls:file:{tmp_path}/clients.pem,name=alice@example.com"
    words = ("--name", "tools", "--gate", f"/*={gate}", "--gate", "/healthz=open")
    tunnel = await stage.open(str(origin.port), *words, *own, *relay.link)
    assert tunnel.first["verdict"]["layers"]["gate"]["status"] == "passed"
    assert tunnel.first["access"]["gate"] == "mtls"

    async def visit(path: str, context: ssl.SSLContext) -> int:
        where = {"tls": context, "connect": ("127.0.0.1", relay.port)}
        return (await get(f"{tunnel.url}{path}", **where)).status

    def holding(name: str, issuer: trustme.CA = clients) -> ssl.SSLContext:
        context = authority.client()
        issuer.issue_cert(name).configure_cert(context)
        return context

    assert await visit("/x", holding("alice@example.com")) == 200
    assert await visit("/x", holding("mallory@example.com")) == 403
    assert await visit("/x", authority.client()) == 403
    assert await visit("/healthz", authority.client()) == 200
    with pytest.raises((OSError, EOFError)):
        await visit("/x", holding("alice@example.com", trustme.CA()))
    page = (await stage.run("show", "tools")).out
    assert f"rule    /*={gate}" in page
    assert "rule    /healthz=open" in page


async def test_without_its_own_tls_the_gate_is_refused_before_anything_is_dialled(
    stage: Stage, origin: HttpOrigin
):
    done = await stage.run("open", str(origin.port), "--gate", "mtls:file:/etc/ca.pem", "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "gate-needs")
