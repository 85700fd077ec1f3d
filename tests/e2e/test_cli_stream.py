"""``underpass prove --stream`` and ``--verify``: numbers through the public name, certified."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.authority import DOMAIN, Authority, tls_relay
from tests.e2e.stage import PATIENCE, Program, Stage

from underpass.testing.origins.http import HttpOrigin

SMALL = ("--silence", "1s", "--sizes", "500KB,2000", "--rates", "10x10,100x50")
"""A measurement of some five seconds."""

MUST_PASS = {"unbuffered", "intact", "unchanged", "leaving", "breaking", "silence"}
"""Delays depend on what else this machine does; these lines do not."""


def outcomes(said: dict[str, Any]) -> dict[str, str]:
    return {line["name"]: line["outcome"] for line in said["lines"]}


def check(said: dict[str, Any]) -> None:
    found = outcomes(said)
    assert {name for name, outcome in found.items() if outcome == "passed"} >= MUST_PASS, said
    assert said["measured"]["faults"] == []
    # A crowded machine adds some; a way that collects adds hundreds of milliseconds.
    assert all(each["added"]["p50"] < 20_000 for each in said["measured"]["events"]), said


async def test_a_certificate_is_written_shown_and_believed(
    stage: Stage, origin: HttpOrigin, tmp_path: Path
):
    relay = await stage.relay()
    await stage.open(str(origin.port), "--name", "tools", *relay.link)
    asked = len(origin.requests)
    out, page = tmp_path / "cert.json", tmp_path / "page.html"
    words = ("--stream", *SMALL, "--out", str(out), "--page", str(page))
    done = await stage.run("prove", "tools", *words)
    said = json.loads(out.read_text())
    check(said)
    assert done.code == (0 if said["ok"] else 5)
    assert done.err == ""
    first, *lines = done.out.splitlines()
    assert first.startswith("tools ")
    assert [line.split()[:2] for line in lines] == [
        [name, outcome] for name, outcome in outcomes(said).items()
    ]
    assert list(said) == [
        *("schema", "ok", "tunnel", "kind", "engine", "tls", "scheme", "seen_from", "began"),
        *("ended", "version", "system", "host_sha256", "parameters", "limits", "lines"),
        *("measured", "signature"),
    ]
    assert said["parameters"]["silence_ms"] == 1000
    assert (said["engine"], said["tls"], said["tunnel"]) == ("relay", "terminate", "tools")
    assert page.read_text().startswith("<!doctype html>")
    assert said["signature"]["fingerprint"] in page.read_text()
    # The user's own origin was connected to by proofs, and asked for nothing.
    assert len(origin.requests) == asked

    key = said["signature"]["fingerprint"]
    believed = await stage.run("prove", "--verify", str(out), "--key", key)
    assert believed.code == done.code
    assert believed.out.splitlines()[-1] == f"signed by {key}, {said['ended']}"
    told = await stage.run("prove", "--verify", str(out), "--json")
    assert told.json == said
    stranger = await stage.run("prove", "--verify", str(out), "--key", "SHA256:other", "--json")
    assert (stranger.code, stranger.json["error"]["code"]) == (4, "certificate-refused")
    out.write_text(out.read_text().replace('"passed"', '"failed"', 1))
    changed = await stage.run("prove", "--verify", str(out), "--json")
    assert (changed.code, changed.json["error"]["code"]) == (4, "certificate-refused")


async def measuring(stage: Stage) -> Program:
    """A long measurement that is under way for certain: another one is refused meanwhile."""
    words = ("prove", "tools", "--stream", "--json")
    async with asyncio.timeout(2 * PATIENCE):
        while True:
            running: Program = await stage.start(*words, "--silence", "1h")
            while running.process.returncode is None:
                # This one may come first, and turn the long one away.
                if (await stage.run(*words, *SMALL)).code == 4:
                    return running


@pytest.mark.parametrize("tls", ["terminate", "passthrough"])
async def test_streams_are_measured_through_tls_wherever_it_ends(
    stage: Stage, origin: HttpOrigin, tmp_path: Path, tls: str
):
    authority = Authority(tmp_path / "authority")
    relay = await tls_relay(stage, authority)
    chain, key = authority.sign("own", f"tools.{DOMAIN}")
    own: tuple[str, ...] = ("--tls", tls)
    if tls == "passthrough":
        own += ("--tls-cert", str(chain), "--tls-key", str(key))
    await stage.open(str(origin.port), "--name", "tools", *own, *relay.link)
    done = await stage.run("prove", "tools", "--stream", *SMALL, "--json")
    check(done.json)
    assert (done.json["tls"], done.json["scheme"]) == (tls, "https")


async def test_an_interrupted_measurement_leaves_nothing(stage: Stage, origin: HttpOrigin):
    tunnel = await stage.open(str(origin.port), "--name", "tools")
    running = await measuring(stage)
    assert await running.stop(signal.SIGINT) == 130
    async with asyncio.timeout(PATIENCE):
        while (again := await stage.run("prove", "tools", "--stream", *SMALL, "--json")).code == 4:
            pass
    check(again.json)
    assert await tunnel.stop() == 130
    assert await stage.leftovers() == []


async def test_closing_the_tunnel_ends_its_measurement(stage: Stage, origin: HttpOrigin):
    tunnel = await stage.open(str(origin.port), "--name", "tools")
    running = await measuring(stage)
    assert await tunnel.stop() == 130
    done = await running.ended()
    assert done.code != 0
    assert "error" in done.json
    assert await stage.leftovers() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("tools", "--out", "x.json"), "go with --stream"),
        (("tools", "--key", "SHA256:x"), "--key goes with --verify"),
        (("tools", "--stream", "--trust"), "choose one of"),
        (("tools", "--stream", "--sizes", "big"), "10MB,100000"),
        (("tools", "--stream", "--rates", "10"), "10x30,100x300,1000x2000"),
        (("tools", "--stream", "--out", "/nowhere/at/all.json"), "there is no directory"),
        ((), "missing argument"),
    ],
)
async def test_what_makes_no_sense_is_told(stage: Stage, words: tuple[str, ...], said: str):
    done = await stage.run("prove", *words)
    assert done.code == 2
    assert said in done.err


async def test_a_tunnel_of_bytes_is_not_measured(stage: Stage, echo: Any):
    await stage.open(f"tcp://127.0.0.1:{echo.port}", "--name", "data")
    done = await stage.run("prove", "data", "--stream", "--json")
    assert (done.code, done.json["error"]["code"]) == (4, "stream-unmeasurable")
