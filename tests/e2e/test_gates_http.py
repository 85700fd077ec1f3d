"""What each gate asks of visitors, and that its secret shows nowhere but in its file."""

from __future__ import annotations

import base64

import pytest
from tests.e2e.stage import Stage
from tests.e2e.visitors import get

from underpass.testing.origins.http import HttpOrigin


async def test_basic(stage: Stage, origin: HttpOrigin):
    tunnel = await stage.open(str(origin.port), "--gate", "basic:ann")
    assert tunnel.first["tunnel"]["gates"] == ["basic:ann"]
    assert tunnel.first["access"]["gate"] == "basic"
    refused = await get(tunnel.url)
    assert refused.status == 401
    assert refused.headers["www-authenticate"].startswith("Basic realm=")
    user, _, password = tunnel.token.partition(":")
    assert user == "ann"
    assert len(password) >= 22  # at least 128 bits
    good = base64.b64encode(tunnel.token.encode()).decode()
    passed = await get(tunnel.url, {"Authorization": f"Basic {good}"})
    assert passed.status == 200
    assert "authorization" not in {name.lower() for name, _ in passed.json["headers"]}
    bad = base64.b64encode(b"ann:guess").decode()
    assert (await get(tunnel.url, {"Authorization": f"Basic {bad}"})).status == 401


async def test_link_is_a_prefix_that_the_origin_never_sees(stage: Stage, origin: HttpOrigin):
    tunnel = await stage.open(str(origin.port), "--gate", "link")
    link = tunnel.token
    assert link.startswith(tunnel.url + "/")
    segment = link.removeprefix(tunnel.url).strip("/")
    assert segment not in "".join(tunnel.out + tunnel.err)
    passed = await get(f"{link}a/b?c=d")
    assert (passed.status, passed.json["target"]) == (200, "/a/b?c=d")
    assert passed.headers["referrer-policy"] == "no-referrer"
    assert segment not in str(passed.json)
    refused = await get(f"{tunnel.url}/a/b")
    assert refused.status in (401, 403)
    assert refused.headers["referrer-policy"] == "no-referrer"
    wrong = segment[:-1] + ("a" if segment[-1] != "a" else "b")
    assert (await get(f"{tunnel.url}/{wrong}/a")).status in (401, 403)
    for words in (("list", "--json"), ("show", tunnel.name, "--json"), ("show", tunnel.name)):
        assert segment not in (await stage.run(*words)).out
    assert await tunnel.stop() == 130


async def test_link_is_shown_when_asked_for_by_name(stage: Stage, origin: HttpOrigin):
    tunnel = await stage.open(str(origin.port), "--gate", "link", "--show-token")
    assert tunnel.first["access"]["token"] == tunnel.token


async def test_ip_lets_in_by_address(stage: Stage, origin: HttpOrigin):
    tunnel = await stage.open(str(origin.port), "--gate", "ip:127.0.0.0/8,10.0.0.0/8")
    assert tunnel.first["access"] == {"gate": "ip", "token_file": None}
    assert tunnel.first["verdict"]["layers"]["gate"]["status"] == "passed"
    assert (await get(tunnel.url)).status == 200
    spoofed = await get(tunnel.url, {"X-Forwarded-For": "192.0.2.1", "X-Real-IP": "192.0.2.1"})
    forwarded = [v for n, v in spoofed.json["headers"] if n.lower() == "x-forwarded-for"]
    assert forwarded == ["127.0.0.1"]


async def test_ip_keeps_others_out_and_the_proof_still_comes_through(
    stage: Stage, origin: HttpOrigin
):
    tunnel = await stage.open(str(origin.port), "--gate", "ip:192.0.2.0/24")
    refused = await get(tunnel.url, {"X-Forwarded-For": "192.0.2.1"})
    assert (refused.status, origin.requests) == (403, [])


async def test_two_gates_must_both_be_passed(stage: Stage, origin: HttpOrigin):
    tunnel = await stage.open(str(origin.port), "--gate", "ip:127.0.0.1/32", "--gate", "bearer")
    assert (await get(tunnel.url)).status == 401
    assert (await get(tunnel.url, tunnel.bearer)).status == 200


async def test_public_is_open_and_says_so(stage: Stage, origin: HttpOrigin):
    tunnel = await stage.open(str(origin.port), "--public", "--for", "1h")
    assert tunnel.first["tunnel"]["gates"] == []
    assert tunnel.first["verdict"]["layers"]["gate"] == {"status": "open"}
    assert tunnel.first["access"] == {"gate": "public", "token_file": None}
    answer = await get(tunnel.url, {"Authorization": "Bearer of-the-origin"})
    sent = {name.lower(): value for name, value in answer.json["headers"]}
    assert sent["authorization"] == "Bearer of-the-origin"
    row = (await stage.run("list")).out.splitlines()[1]
    assert "public" in row.split()


async def test_preflights_are_answered_before_the_gate(stage: Stage, origin: HttpOrigin):
    tunnel = await stage.open(str(origin.port), "--cors", "https://app.example.com")
    asked = {
        "Origin": "https://app.example.com",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    allowed = await get(tunnel.url, asked, method="OPTIONS")
    assert allowed.status in (200, 204)
    assert allowed.headers["access-control-allow-origin"] == "https://app.example.com"
    other = await get(tunnel.url, {**asked, "Origin": "https://evil.example"}, method="OPTIONS")
    assert "access-control-allow-origin" not in other.headers
    assert origin.requests == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "tools.localhost"])
async def test_hosts_that_name_a_loopback_tunnel(stage: Stage, origin: HttpOrigin, host: str):
    tunnel = await stage.open(str(origin.port), "--name", "tools")
    for given in (f"{host}:{tunnel.port}", f"{host.upper()}:{tunnel.port}"):
        assert (await get(tunnel.url, tunnel.bearer, host=given)).status == 200


async def test_any_other_host_is_misdirected(stage: Stage, origin: HttpOrigin):
    tunnel = await stage.open(str(origin.port), "--name", "tools")
    seen = len(origin.requests)
    for host in (
        *("127.0.0.1", "localhost", f"localhost:{tunnel.port + 1}", f"127.0.0.2:{tunnel.port}"),
        *(f"other.localhost:{tunnel.port}", f"evil.example:{tunnel.port}", "[::1]"),
    ):
        answer = await get(tunnel.url, tunnel.bearer, host=host)
        assert (host, answer.status) == (host, 421)
    assert len(origin.requests) == seen


async def test_the_hosts_header_is_kept_or_rewritten_as_told(stage: Stage, origin: HttpOrigin):
    kept = await stage.open(str(origin.port))
    rewritten = await stage.open(str(origin.port), "--host-header", "origin")
    for tunnel, host in ((kept, kept.url), (rewritten, f"//localhost:{origin.port}")):
        seen = {n.lower(): v for n, v in (await get(tunnel.url, tunnel.bearer)).json["headers"]}
        assert f"//{seen['host']}" == "//" + host.rpartition("//")[2]
        assert seen["x-forwarded-host"] == tunnel.url.removeprefix("http://")
        assert "set-cookie" not in seen
