"""The documentation page says what the data says, and its examples are answered."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from underpass.cli.main import main
from underpass.decide.here import Here
from underpass.decide.need import HOUR, Audience, Auth, Need, Task, Traffic, Visitor
from underpass.decide.page import quotas_table, ways_table
from underpass.decide.told import compact_object
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


LOOKED = Here(looked=True)
COMPACT = [
    Need(),
    Need(task=Task.FIREWALL),
    Need(seconds=HOUR, no_install=True, no_signup=True),
    Need(seconds=None, own_domain=True, auth=Auth.SSO, visitor=Visitor.BROWSER, unattended=True),
    Need(task=Task.FLEET, machines=3, audience=Audience.PRIVATE, no_third_party=True),
    Need(task=Task.REACH, traffic=Traffic.TCP, database=True, persistent=True),
]


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


def test_the_compact_answer_is_small_and_all_its_keys_are_on_the_page(ask):
    told, steps = set(), set()
    for need in COMPACT:
        made = compact_object(ask(need, LOOKED), 1)
        assert len(json.dumps(made)) < 4_000
        told |= {*made, *(key for one in made.get("answers", ()) for key in one)}
        told |= made.get("boundary", {}).keys()
        for one in made.get("answers", ()):
            steps |= {
                key
                for name in ("run", "undo", "instead")
                for each in one.get(name, ())
                for key in each
            }
    table = PAGE.partition("### In one line, for an agent")[2].partition("## ")[0]
    assert told | steps == {*re.findall(r"`\.?(?:answers\[\]\.)?([a-z_]+)`", table)}
