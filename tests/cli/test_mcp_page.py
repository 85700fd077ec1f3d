"""What the page about MCP shows is what the command takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from underpass.bridge.settings import ENDPOINT, EVENTS_ENDPOINT, BridgeSettings
from underpass.cli.commands.open import command, declared
from underpass.gatehouse.mcp.attended import SIGNED_NOTE
from underpass.gatehouse.mcp.documents import LONGEST
from underpass.model.spec import Kind

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "mcp.md").read_text()
SHOWN = re.findall(r"^\$ underpass open (.*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("line", SHOWN)
def test_every_command_declares_an_mcp_tunnel(line: str):
    context = command.make_context("open", shlex.split(line))
    spec = declared(context.params)
    spec.validate()
    assert (spec.kind, spec.host_header) == (Kind.MCP, "origin")


def test_the_numbers_and_names_are_the_codes_own():
    assert len(SHOWN) == 5
    settings = BridgeSettings(command=("x",), socket="/s")
    assert f"all {settings.max_sessions} places" in PAGE
    assert settings.idle_seconds == 1800
    assert "half an hour" in PAGE
    assert f"`{ENDPOINT}`, for clients of the oldest transport at `{EVENTS_ENDPOINT}`" in PAGE
    assert f"longer than {LONGEST // 1024} KiB" in PAGE
    assert b": ".join(SIGNED_NOTE).decode() in PAGE
