"""The page on preflight names every finding and every question."""

from __future__ import annotations

from pathlib import Path

import pytest

from underpass.guard.preflight.asks import FOLLOWING, WEB
from underpass.guard.preflight.services import SERVICES
from underpass.guard.preflight.table import WEB_SIGNS

PAGE = (Path(__file__).parents[3] / "docs" / "preflight.md").read_text()

CODES = {sign.code for sign in WEB_SIGNS} | {service.code for service in SERVICES}
OTHERS = {"mcp-tools", "database-mysql", "debugger-debugpy", "oauth-origin-missing"}


@pytest.mark.parametrize("code", sorted(CODES | OTHERS))
def test_each_finding_is_on_the_page(code: str):
    assert f"| `{code}` |" in PAGE


@pytest.mark.parametrize("ask", [*WEB, *(each.ask for each in FOLLOWING)], ids=lambda ask: ask.name)
def test_each_question_is_on_the_page_with_its_reason(ask):
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{ask.text}`")]
    assert line.endswith(f"| {ask.harmless} |")


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.code)
def test_each_question_to_a_port_is_on_the_page_with_its_reason(service):
    assert f"| {service.asked} | {service.harmless} |" in PAGE
