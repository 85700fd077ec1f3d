"""The real agent and the real SDK, while the far end behaves as far ends do."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import trustme
from tests.edges.ngrok import DOMAIN
from tests.engines.ngrok.benches import AgentBench, NgrokBench, SdkBench

from underpass.drivers.base import Counts
from underpass.drivers.ngrok.faults import explain
from underpass.drivers.plans import ForeignTunnel, Site
from underpass.testing.driver_bench import PATIENCE, children
from underpass.testing.driver_suite import bearer, change, gone, refusal, url_of
from underpass.testing.driver_visits import ask
from underpass.testing.origins.http import HttpOrigin

BENCHES = {"agent": AgentBench, "sdk": SdkBench}


@pytest.fixture(params=list(BENCHES))
async def bench(
    request: pytest.FixtureRequest, tmp_path: Path, runtime: Path
) -> AsyncIterator[NgrokBench]:
    async with BENCHES[request.param](tmp_path, runtime) as bench:
        yield bench


@pytest.fixture
async def agent(tmp_path: Path, runtime: Path) -> AsyncIterator[AgentBench]:
    async with AgentBench(tmp_path, runtime) as bench:
        yield bench


@pytest.fixture
async def sdk(tmp_path: Path, runtime: Path) -> AsyncIterator[SdkBench]:
    async with SdkBench(tmp_path, runtime) as bench:
        yield bench


async def test_curl_comes_through_the_public_name(bench: NgrokBench) -> None:
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}")
        url, token = url_of(tunnel), bearer(tunnel)["Authorization"]
        host, _, port = url.removeprefix("https://").partition(":")
        secret = bench.home / "curl-headers"
        secret.write_text(f"Authorization: {token}\n")
        words = ["curl", "-sS", "--cacert", str(bench.edge.ca), "-o", "-", "-w", "%{http_code}"]
        words += ["--resolve", f"{host}:{port}:127.0.0.1", f"{url}/x"]
        for more, status in (["-H", f"@{secret}"], "200"), ([], "401"):
            curl = await asyncio.create_subprocess_exec(
                *words, *more, stdout=asyncio.subprocess.PIPE
            )
            told, _ = await asyncio.wait_for(curl.communicate(), PATIENCE)
            assert told.decode().endswith(status), told


async def test_a_stop_from_the_dashboard_is_seen_and_undone(bench: NgrokBench) -> None:
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port} --name tools", named(bench, "stopped"))
        changes = tunnel.events()
        await bench.edge.push_stop()
        lost = await change(changes, lambda it: it["tunnel"]["state"] == "failing")
        assert "stopped" in json.dumps(lost)
        await change(changes, lambda it: it["event"] == "live")
        assert url_of(tunnel).startswith(f"https://stopped.{DOMAIN}:")
        assert (await ask(bench, url_of(tunnel), "/", bearer(tunnel))).status == 200


async def test_a_name_that_is_online_elsewhere_is_waited_for(bench: NgrokBench) -> None:
    async with HttpOrigin() as origin:
        with bench.edge.hold(f"held.{DOMAIN}"):
            opening = asyncio.create_task(bench.open(f"{origin.port}", named(bench, "held")))
            await asyncio.wait_for(bench.edge.was_asked.wait(), PATIENCE)
        tunnel = await opening
        assert url_of(tunnel).startswith(f"https://held.{DOMAIN}:")


async def test_a_name_that_stays_online_elsewhere_is_told_as_such(bench: NgrokBench) -> None:
    with bench.edge.hold(f"held.{DOMAIN}"):
        error = await refusal(bench, named(bench, "held"), timeout=4.0)
    assert (error.code, getattr(error, "reason", "")) == ("engine-away", "name-online")
    assert "ERR_NGROK_334" in error.message
    assert error.retryable


async def test_our_own_ghost_gives_its_name_back(bench: NgrokBench) -> None:
    """The far end hangs with our session and its name; whoever comes anew is told 334 at first."""
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}", named(bench, "mine"))
        changes = tunnel.events()
        bench.edge.freeze_sessions()
        tunnel.engine.redial("a test says so")  # type: ignore[attr-defined]
        await change(changes, lambda it: it["tunnel"]["state"] == "failing")
        bench.edge.was_asked.clear()
        await asyncio.wait_for(bench.edge.was_asked.wait(), PATIENCE)
        bench.edge.drop_ghosts()
        await change(changes, lambda it: it["event"] == "live")
        assert url_of(tunnel).startswith(f"https://mine.{DOMAIN}:")


@pytest.mark.parametrize(
    ("number", "reason"),
    [(324, "endpoint-limit"), (8013, "tcp-needs-card"), (313, "name-not-allowed")],
)
async def test_an_endpoint_that_is_refused_is_told_with_the_fix(
    bench: NgrokBench, number: int, reason: str
) -> None:
    before = set(children())
    bench.edge.refuse_bind = number
    error = await refusal(bench, bench.options(), timeout=10.0)
    assert (error.code, getattr(error, "reason", "")) == ("engine-refused", reason)
    assert f"(ERR_NGROK_{number})" in error.message
    assert error.hint
    assert await gone(lambda: bench.leftovers(before)) == []


async def test_a_wrong_token_is_told_without_repeating_it(
    bench: NgrokBench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = "2wrongWRONGwrongWRONGwrong0123456789"
    path = bench.home / "token"
    path.write_text(wrong)
    path.chmod(0o600)
    options = {**bench.options(), "authtoken-env": "UNSET_NGROK", "authtoken-file": str(path)}
    error = await refusal(bench, options, timeout=10.0)
    assert (error.code, getattr(error, "reason", "")) == ("engine-refused", "credential-refused")
    assert "ERR_NGROK_107" in caplog.text
    assert wrong not in caplog.text + error.message + str(error.hint)


async def test_a_far_end_that_is_not_there_is_told_as_such(bench: NgrokBench) -> None:
    await bench.edge.kill()
    error = await refusal(bench, bench.options(), timeout=8.0)
    reason = getattr(error, "reason", "")
    assert (error.code, reason) == ("engine-away", "far-end-unreachable"), error.message


async def test_a_far_end_that_nobody_vouches_for_is_not_spoken_to(bench: NgrokBench) -> None:
    options = {key: value for key, value in bench.options().items() if key != "server-ca"}
    error = await refusal(bench, options, timeout=10.0)
    reason = getattr(error, "reason", "")
    assert (error.code, reason) == ("engine-refused", "far-end-untrusted"), error.message
    assert not any(session.signed_in for session in bench.edge.sessions)


async def test_a_far_end_that_babbles_is_refused_in_time(bench: NgrokBench) -> None:
    before = set(children())
    bench.edge.garbage = True
    error = await refusal(bench, bench.options(), timeout=15.0)
    assert error.message.isprintable()
    assert error.code in {"engine-away", "engine-refused", "engine-keeps-ending", "timed-out"}
    assert await gone(lambda: bench.leftovers(before)) == []


async def test_what_its_edge_answers_in_our_place_is_explained_and_is_no_open_gate(
    bench: NgrokBench,
) -> None:
    async with HttpOrigin() as origin:
        tunnel = await bench.open(f"{origin.port}")
        bench.edge.refuse_visitors = 727
        limited = await tunnel.control.prove()
        bench.edge.refuse_visitors = 0
        assert (await tunnel.control.prove()).ok
        bench.edge.offline_status = 404
        bench.edge.binds.clear()
        offline = await tunnel.control.prove()
    for verdict, number in ((limited, 727), (offline, 3200)):
        assert verdict.layer == "relay", verdict.to_dict()
        assert verdict.fault is not None
        assert f"(ERR_NGROK_{number}); {explain(number).fix}" in verdict.fault.detail


async def test_what_the_agent_says_is_not_believed_until_it_is_proved(bench: NgrokBench) -> None:
    """It signs in, its endpoint is online, its API says so; visitors are told that a quota is used
    up."""
    bench.edge.refuse_visitors = 727
    error = await refusal(bench, bench.options(), timeout=6.0)
    assert error.code == "proof-failed", error
    assert bench.edge.asked


async def test_visitors_addresses_come_from_the_edge_alone(sdk: SdkBench) -> None:
    async with HttpOrigin() as origin:
        tunnel = await sdk.open(f"{origin.port} --gate ip:127.0.0.1")
        lies = {
            "Underpass-Visitor": "192.0.2.99",
            "Underpass-Vouch": "x" * 64,
            "X-Forwarded-For": "192.0.2.99",
        }
        assert (await ask(sdk, url_of(tunnel), "/lies", lies)).status == 200
        seen = next(each for each in origin.requests if each.target == "/lies")
        assert seen.all("x-forwarded-for") == ["127.0.0.1"]
        assert not seen.all("underpass-visitor") + seen.all("underpass-vouch")
        assert "192.0.2.99" not in str(seen.headers)


async def test_an_ip_gate_refuses_who_is_not_on_the_list(sdk: SdkBench) -> None:
    async with HttpOrigin() as origin:
        tunnel = await sdk.open(f"{origin.port} --gate ip:192.0.2.0/24")
        claim = {"X-Forwarded-For": "192.0.2.9", "Underpass-Visitor": "192.0.2.9"}
        for headers in ({}, claim):
            assert (await ask(sdk, url_of(tunnel), "/stranger", headers)).status == 403
        assert not [each for each in origin.requests if each.target == "/stranger"]


async def test_the_edge_keeps_the_ip_gate_when_it_is_asked_to(sdk: SdkBench) -> None:
    async with HttpOrigin() as origin:
        options = {**sdk.options(), "edge-gates": "yes"}
        tunnel = await sdk.open(f"{origin.port} --gate ip:127.0.0.0/8", options)
        assert (await ask(sdk, url_of(tunnel))).status == 200
        (bind,) = sdk.edge.binds.values()
        first, *_ = bind.policy["on_http_request"]
        assert first["actions"][0]["config"]["allow"] == ["127.0.0.0/8"]
        first["actions"][0]["config"]["allow"] = ["192.0.2.0/24"]
        before = len(origin.requests)
        assert (await ask(sdk, url_of(tunnel))).headers["ngrok-error-code"] == "ERR_NGROK_3205"
        assert len(origin.requests) == before


async def test_visitors_own_tls_is_opened_by_the_gatehouse_alone(bench: NgrokBench) -> None:
    """The certificate that visitors see is the owner's; the edge sees only its name."""
    name = f"own.{DOMAIN}"
    authority = trustme.CA()
    leaf, chain, key = authority.issue_cert(name), bench.home / "cert.pem", bench.home / "key.pem"
    chain.write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(str(key))
    key.chmod(0o600)
    trusted = bench.home / "trusted.pem"
    trusted.write_bytes(authority.cert_pem.bytes())
    bench.trust = ssl.create_default_context(cafile=str(trusted))
    bench.own_tls = (chain, key)
    with mock.patch.dict(os.environ, SSL_CERT_FILE=str(trusted)):
        async with HttpOrigin() as origin:
            tunnel = await bench.open(f"{origin.port} --tls passthrough", named(bench, "own"))
            url = url_of(tunnel)
            assert url.startswith(f"https://{name}:")
            assert (await ask(bench, url, "/", bearer(tunnel))).status == 200
            assert (await ask(bench, url)).status == 401
            (bind,) = bench.edge.binds.values()
            assert bind.proto == "tls"


async def test_the_agent_counts_what_it_carried(agent: AgentBench) -> None:
    async with HttpOrigin() as origin:
        tunnel = await agent.open(f"{origin.port}")
        assert isinstance(tunnel.engine, Counts)
        before = await tunnel.engine.counters()
        for _ in range(3):
            await ask(agent, url_of(tunnel), "/", bearer(tunnel))
        after = await tunnel.engine.counters()
        assert after.connections - before.connections >= 3


async def test_nothing_that_the_agent_looks_up_leaves_this_machine(agent: AgentBench) -> None:
    heard = Listener("failed to check for update")
    logger = logging.getLogger("underpass.drivers.keeper")
    former = logger.level
    logger.addHandler(heard)
    logger.setLevel(logging.DEBUG)
    try:
        async with HttpOrigin() as origin:
            await agent.open(f"{origin.port}")
            await asyncio.wait_for(heard.came.wait(), PATIENCE)
    finally:
        logger.removeHandler(heard)
        logger.setLevel(former)
    assert "lookup update.equinox.io on 127.0.0.1:53" in heard.line


class Listener(logging.Handler):
    """Waits for one line of the log."""

    def __init__(self, words: str) -> None:
        super().__init__(logging.DEBUG)
        self.words = words
        self.line = ""
        self.came = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Look whether this is it."""
        if self.words in record.getMessage():
            self.line = record.getMessage()
            self.came.set()


async def test_an_agent_that_somebody_else_runs_is_found_with_what_it_exposes(
    agent: AgentBench,
) -> None:
    look = agent.runtime / "look"
    look.mkdir()
    driver, site = agent.driver(), replace(agent.site(agent.options()), directory=look)
    async with HttpOrigin() as origin:
        tunnel = await agent.open(f"{origin.port}")
        ours = agent.child(tunnel)
        config = agent.home / "theirs.json"
        told = {
            "server_addr": agent.edge.server,
            "root_cas": str(agent.edge.ca),
            "authtoken": agent.token,
            "web_addr": "127.0.0.1:0",
            "log": "stdout",
            "tunnels": {"theirs": {"proto": "http", "addr": "127.0.0.1:8000", "bind_tls": True}},
        }
        config.write_text(json.dumps(told))
        # Not a child of this process: whoever started it has gone.
        theirs = await started_by_nobody(["ngrok", "start", f"-config={config}", "theirs"])
        try:
            async with asyncio.timeout(PATIENCE):
                # An agent tells nobody when it is online.
                while not (found := await seen(driver, site, theirs)):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        finally:
            os.kill(theirs, signal.SIGKILL)
        assert found[0].exposes == "http://127.0.0.1:8000"
        assert found[0].public.endswith(f".{DOMAIN}:{url_of(tunnel).rpartition(':')[2]}")
        assert agent.token not in repr(found)
        assert not await seen(driver, site, ours)


async def started_by_nobody(words: list[str]) -> int:
    """Start a program whose parent goes at once; its process id."""
    lines = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:], stdout=2).pid)"
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", lines, *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    told, _ = await parent.communicate()
    return int(told)


async def seen(driver: Any, site: Site, pid: int) -> list[ForeignTunnel]:
    """What ``driver`` finds of one process and can name."""
    found = await driver.foreign(site)
    return [each for each in found if each.where == f"pid {pid}" and each.public]


def named(bench: NgrokBench, name: str) -> dict[str, str]:
    """Options that ask for a reserved name."""
    return {**bench.options(), "url": f"{name}.{DOMAIN}"}
