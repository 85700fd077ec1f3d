from __future__ import annotations

import json
from pathlib import Path

import pytest

from underpass.api.places import config_dir
from underpass.cli.commands.open import chosen, declared
from underpass.cli.commands.open import command as open_command
from underpass.cli.main import main
from underpass.model.options import RelayAccess
from underpass.model.spec import parse_spec


def parsed(*words: str):
    ctx = open_command.make_context("open", list(words))
    return ctx.params, ctx.meta["underpass.run"]


@pytest.mark.parametrize(
    "line",
    [
        "3001 --owner alice",
        "localhost:3001 --name tools --gate bearer --owner alice",
        "mcp+http://localhost:3001/mcp --name tools --for 2h --owner alice --purpose 'a demo'",
        "tcp://127.0.0.1:5432 --gate ip:203.0.113.0/24 --for 2h --owner alice --health tcp",
        "unix:///run/app.sock --public --for 30m --owner alice",
        "3001 --gate basic:alice --gate ip:10.0.0.0/8 --idle 15m --owner alice",
        "3001 --gate bearer --gate '/hooks/*=signature:github' --gate /up=open --owner alice",
        "3001 --gate 'ip:10.0.0.0/8+bearer|basic:alice' --owner alice",
        "3001 --owner alice --host-header origin --health-path /healthz --cors https://a.example",
    ],
)
def test_the_options_are_the_words_of_a_spec(at_home, line):
    import shlex

    params, _ = parsed(*shlex.split(line))
    assert declared(params) == parse_spec(line)


def test_without_options_the_gate_is_bearer_the_lease_eight_hours_and_the_owner_the_login(at_home):
    import os
    import pwd

    spec = declared(parsed("3001")[0])
    assert [str(gate) for gate in spec.gates] == ["bearer"]
    assert spec.lease.seconds == 8 * 3600
    assert spec.lease.owner == pwd.getpwuid(os.getuid()).pw_name


def test_how_it_is_opened_comes_from_the_rest(at_home, environment):
    params, run = parsed(
        *("3001", "--relay", "https://relay.example.com", "--enrol-token-file", "e"),
        *("--relay-ca", "ca.pem", "--relay-fingerprint", "ab" * 32, "--timeout", "1m"),
        *("--token-file", "t", "--show-token", "--run", "--", "python", "server.py", "--name", "x"),
    )
    options = chosen(params, run=run, as_json=True)
    assert options.relay == RelayAccess(
        url="https://relay.example.com", ca=Path("ca.pem"), fingerprint="ab" * 32
    )
    assert (options.enrol_token_file, options.token_file) == (Path("e"), Path("t"))
    assert (options.timeout, options.show_token, options.json) == (60.0, True, True)
    assert options.run == ("python", "server.py", "--name", "x")
    assert options.runtime_dir == Path(environment["UNDERPASS_RUNTIME_DIR"])
    assert options.state_dir == Path(environment["UNDERPASS_STATE_DIR"])


def test_a_time_out_may_be_bare_seconds_but_a_lease_names_its_unit(at_home, capsys):
    assert parsed("3001", "--timeout", "45")[0]["timeout"] == 45
    assert main(["open", "3001", "--for", "45"]) == 2
    assert "error[duration-invalid]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["gopher://x"], 2, "unknown-scheme"),
        (["99999"], 2, "port-out-of-range"),
        (["3001", "--name", "-x-"], 2, "name-invalid"),
        (["3001", "--for", "tomorrow"], 2, "duration-invalid"),
        (["3001", "--gate", "smile"], 2, "gate-unknown"),
        (["3001", "--public", "--gate", "bearer"], 2, "gate-conflict"),
        (["3001", "--public"], 4, "public-needs-duration"),
        (["3001", "--public", "--for", "2h"], 4, "public-needs-duration"),
        (["tcp://h:1", "--cors", "https://a.example"], 2, "option-conflict"),
        (["3001", "--run"], 2, "usage"),
        (["3001", "--run", "--"], 2, "usage"),
        (["3001", "--", "python"], 2, "usage"),
        (["3001", "--tls", "passthrough"], 2, "usage"),
        (["3001", "--tls-cert", "c", "--tls-key", "k"], 2, "usage"),
        ([], 2, "usage"),
    ],
)
def test_bad_input_is_an_error_with_its_code_and_nothing_begins(
    at_home, capsys, words, code, error
):
    split = words.index("--") if "--" in words else len(words)
    assert main(["open", *words[:split], "--json", *words[split:]]) == code
    told = json.loads(capsys.readouterr().out)["error"]
    assert told["code"] == error
    assert told["message"].startswith("cannot ")


def test_the_user_s_policy_bounds_what_an_option_may_ask(at_home, environment, capsys):
    policy = config_dir() / "policy.toml"
    policy.parent.mkdir(parents=True)
    policy.write_text('longest_lease = "1h"\n')
    assert main(["open", "3001", "--for", "2h"]) == 4
    assert "error[policy-forbids]" in capsys.readouterr().err
