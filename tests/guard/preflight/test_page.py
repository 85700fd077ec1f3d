"""The page on preflight names every finding and every question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.e2e.preflight.corpus import DANGEROUS
from tests.guard.preflight.test_recorded import RECORDED

from underpass.guard.preflight.asks import FOLLOWING, WEB
from underpass.guard.preflight.services import SERVICES
from underpass.guard.preflight.table import WEB_SIGNS

PAGE = (Path(__file__).parents[3] / "docs" / "preflight.md").read_text()

CODES = {sign.code for sign in WEB_SIGNS} | {service.code for service in SERVICES}
OTHERS = {"mcp-tools", "database-mysql", "debugger-debugpy", "oauth-origin-missing"}


RUN = {code for program in DANGEROUS for code in program.finds}
RUN |= {"underpass-control", "underpass-metrics", "oauth-origin-missing"}
"""Shown by the programs themselves, in ``tests/e2e/preflight``."""
DOCUMENTED = {
    "agent-comfyui",
    "agent-lm-studio",
    "database-couchdb",
    "database-mongodb",
    "machine-kubelet",
    "machine-kubernetes",
    "metadata-service",
    "notebook-code-server",
    "shell-gotty",
    "shell-ttyd",
}


@pytest.mark.parametrize("code", sorted(CODES | OTHERS))
def test_each_finding_is_on_the_page_with_how_it_is_known(code: str):
    recorded = {code for program in RECORDED for code in program["finds"]}
    how = "run" if code in RUN else "recorded" if code in recorded else "documented"
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{code}` |")]
    assert line.endswith(f" | {how} |")
    assert (how == "documented") == (code in DOCUMENTED)


@pytest.mark.parametrize("program", RECORDED, ids=lambda program: program["program"])
def test_each_recording_is_on_the_page(program: dict[str, Any]):
    finds = ", ".join(f"`{code}`" for code in program["finds"]) or "nothing"
    facts = (program["program"], program["version"], program["on"], finds, program["setting"])
    assert "| " + " | ".join(facts) + " |" in PAGE


@pytest.mark.parametrize("ask", [*WEB, *(each.ask for each in FOLLOWING)], ids=lambda ask: ask.name)
def test_each_question_is_on_the_page_with_its_reason(ask):
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{ask.text}`")]
    assert line.endswith(f"| {ask.harmless} |")


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.code)
def test_each_question_to_a_port_is_on_the_page_with_its_reason(service):
    assert f"| {service.asked} | {service.harmless} |" in PAGE
