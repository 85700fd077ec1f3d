"""The documentation page says what the data says, and its examples are answered."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from underpass.cli.main import main
from underpass.decide.page import quotas_table, ways_table
from underpass.decide.ways import WAYS

PAGE = (Path(__file__).parents[2] / "docs" / "advice.md").read_text("utf-8")
EXAMPLES = {
    "underpass advise 3001 --for 1h --inspect": "1. ngrok-free",
    "underpass advise mcp+http://localhost:3001/mcp --for permanent --hostname mcp.example.com "
    "--auth sso": "1. cloudflare-named",
    "underpass advise tcp://db.internal:5432 --task reach --database --via me@bastion "
    "--persistent": "1. ssh-kept",
    "underpass advise --machines 3 --public": "1. tailscale-funnel",
    "underpass advise tcp://127.0.0.1:9000 --no-third-party": "1. bore-own",
    "underpass advise 3001 --for-agent": '{"schema":"underpass/v1/advice-compact"',
}


def test_the_tables_are_those_of_the_data(quotas):
    assert ways_table(WAYS) in PAGE
    assert quotas_table(quotas) in PAGE


def test_all_examples_of_the_page_are_tested():
    block = PAGE.split("```")[1].strip().splitlines()
    assert block == list(EXAMPLES)


@pytest.mark.parametrize("line", EXAMPLES)
def test_each_example_is_answered(line, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("UNDERPASS_OPEN__RELAY", raising=False)
    assert main(shlex.split(line)[1:]) == 0
    assert capsys.readouterr().out.startswith(EXAMPLES[line])
