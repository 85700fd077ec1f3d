"""Preflight as a user meets it: refused with the finding, opened for a reason, and written down."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.e2e.mcp_stage import stdio_origin
from tests.e2e.preflight.programs import HERE, app, running
from tests.e2e.stage import Stage, Tunnel
from tests.e2e.visitors import get

from underpass.testing.origins.http import HttpOrigin

PUBLIC = ("--public", "--for", "10m")
REASON = "shown to the class until noon"


async def test_a_dangerous_origin_is_refused_with_its_findings(stage: Stage, short_path: Path):
    async with running(app("flask-debug"), short_path) as place:
        done = await stage.run("open", str(place.port), *PUBLIC, "--json")
    assert done.code == 4
    error = done.json["error"]
    assert error["code"] == "dangerous-origin"
    assert error["hint"] == "put a gate before it: --gate bearer"
    (finding,) = error["findings"]
    assert finding["code"] == "debugger-werkzeug"
    assert finding["where"] == "GET /?__debugger__=yes&cmd=resource&f=debugger.js"
    assert set(finding) == {"code", "what", "where", "seen", "hint"}
    assert await stage.leftovers() == []


async def test_with_a_gate_it_opens_and_is_not_asked_anything(stage: Stage, short_path: Path):
    async with running(app("flask-debug"), short_path) as place:
        tunnel = await stage.open(str(place.port))
        assert (await get(tunnel.url, tunnel.bearer)).status == 200
        assert "__debugger__" not in (place.home / "log").read_text()


async def test_it_opens_for_a_reason_and_the_journal_tells(stage: Stage, short_path: Path):
    async with running(app("flask-debug"), short_path) as place:
        await stage.run("open", str(place.port), *PUBLIC, "--json")
        tunnel = await stage.open(
            *(str(place.port), *PUBLIC, "--accept-danger", REASON, "--owner", "ada")
        )
        assert (await get(tunnel.url)).status == 200
        told = (await stage.run("journal", "--json")).lines
        page = (await stage.run("journal")).out
    refused, accepted = told
    assert (refused["what"], refused["reason"]) == ("danger-refused", "")
    assert (accepted["what"], accepted["reason"]) == ("danger-accepted", REASON)
    assert accepted["who"].endswith(" for ada")
    assert accepted["tunnel"].startswith(f"{place.port} --public --for 10m")
    assert [each["code"] for each in accepted["findings"]] == ["debugger-werkzeug"]
    assert accepted["schema"] == "underpass/v1/journal"
    assert REASON in page
    assert (stage.state / "state.db").stat().st_mode & 0o777 == 0o600


async def test_one_word_is_no_reason(stage: Stage, origin: HttpOrigin):
    done = await stage.run(
        "open", str(origin.port), *PUBLIC, "--accept-danger", "trust me", "--json"
    )
    assert (done.code, done.json["error"]["code"]) == (2, "reason-too-short")
    assert origin.requests == []


async def test_the_policy_rules_reasons_out(stage: Stage, origin: HttpOrigin):
    policy = stage.home / "config" / "underpass" / "policy.toml"
    policy.parent.mkdir(parents=True)
    policy.write_text("accept_danger = false\n")
    done = await stage.run("open", str(origin.port), *PUBLIC, "--accept-danger", REASON, "--json")
    assert (done.code, done.json["error"]["code"]) == (4, "policy-forbids")
    assert origin.requests == []


async def test_what_cannot_be_written_down_is_not_accepted(stage: Stage, short_path: Path):
    stage.state.mkdir(mode=0o700)
    (stage.state / "state.db").write_bytes(b"no database at all" * 100)
    (stage.state / "state.db").chmod(0o600)
    async with running(app("flask-debug"), short_path) as place:
        words = ("open", str(place.port), *PUBLIC, "--json")
        refused = await stage.run(*words)
        accepted = await stage.run(*words, "--accept-danger", REASON)
    assert (refused.code, refused.json["error"]["code"]) == (4, "dangerous-origin")
    assert (accepted.code, accepted.json["error"]["code"]) == (1, "journal-unusable")
    journal = await stage.run("journal", "--json")
    assert journal.json["error"]["code"] == "journal-unusable"


async def test_an_open_path_to_an_mcp_server_is_found(stage: Stage, short_path: Path):
    async with running(app("mcp-sessions"), short_path) as place:
        origin = f"mcp+http://localhost:{place.port}/mcp"
        words = ("--gate", "/mcp=open", "--gate", "bearer", "--json")
        done = await stage.run("open", origin, *words)
        gated = await stage.open(origin, "--gate", "/healthz=open", "--gate", "bearer")
        await gated.stop()
    assert [each["code"] for each in done.json["error"]["findings"]] == ["mcp-tools"]
    assert "read_note" in done.json["error"]["findings"][0]["seen"]


async def test_a_server_over_stdin_and_stdout_needs_a_gate(stage: Stage):
    done = await stage.run("open", stdio_origin(), *PUBLIC, "--json")
    assert [each["code"] for each in done.json["error"]["findings"]] == ["mcp-tools"]
    assert await stage.leftovers() == []


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "2852039166", "[::ffff:169.254.169.254]", "[fd00:ec2::254]"]
)
@pytest.mark.parametrize("gate", [PUBLIC, ("--gate", "bearer")], ids=["public", "gated"])
async def test_a_metadata_service_is_refused_under_any_name_and_gate(
    stage: Stage, host: str, gate: tuple[str, ...]
):
    done = await stage.run("open", f"http://{host}", *gate, "--json", "--timeout", "5s")
    error = done.json["error"]
    assert (error["code"], done.code) == ("dangerous-origin", 4)
    assert [each["code"] for each in error["findings"]] == ["metadata-service"]


async def test_an_origin_that_comes_later_is_looked_at_before_anybody_finds_it(
    stage: Stage, free_port: int
):
    app_words = (sys.executable, str(HERE / "apps.py"), "flask-debug", str(free_port))
    words = ("open", str(free_port), *PUBLIC, "--json", "--run", "--", *app_words)
    done = await stage.run(*words)
    assert (done.code, done.json["error"]["code"]) == (4, "dangerous-origin")
    assert await stage.leftovers() == []


async def test_a_harmless_origin_that_comes_later_goes_live(stage: Stage, free_port: int):
    app_words = (sys.executable, str(HERE / "apps.py"), "one-page", str(free_port))
    words = ("open", str(free_port), *PUBLIC, "--json", "--run", "--", *app_words)
    tunnel: Tunnel = await stage.start(*words, kind=Tunnel)
    tunnel.first = await tunnel.event("live")
    assert b"Notes" in (await get(tunnel.url)).body
