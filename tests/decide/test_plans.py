"""Every way has commands and an undo; none holds a secret, none can be turned by what fills it."""

from __future__ import annotations

import re
import shlex

import pytest

from underpass.decide.need import Auth, Names, Need, Task, Traffic, Visitor
from underpass.decide.plans import plan
from underpass.decide.ways import WAYS, way
from underpass.model.origin import parse_origin


def needs_of(one):
    for task in sorted(one.tasks):
        for traffic in sorted(one.traffic):
            for auth in (None, *(gate.auth for gate in one.gates)):
                for seconds in (3_600, None):
                    yield Need(task=task, traffic=traffic, auth=auth, seconds=seconds)


@pytest.mark.parametrize("one", WAYS, ids=lambda one: one.id)
def test_every_way_can_be_set_up_and_taken_down_for_all_it_offers(one):
    for need in needs_of(one):
        made = plan(one.id, need)
        assert made.run
        assert made.undo
        for step in (*made.run, *made.undo):
            assert step.line
            assert bool(step.argv) + bool(step.file) <= 1
            assert not step.argv or shlex.split(step.line) == list(step.argv)


@pytest.mark.parametrize("one", WAYS, ids=lambda one: one.id)
def test_no_command_takes_a_secret_in_its_words(one):
    secret = re.compile(r"--(token|authtoken|secret|password|basic-auth|credentials-contents)\b")
    for need in needs_of(one):
        made = plan(one.id, need)
        for step in (*made.run, *made.undo):
            assert not any(secret.fullmatch(word.partition("=")[0]) for word in step.argv)
            if step.file and "PASSWORD" in step.text:
                assert step.mode == 0o600


def test_our_own_commands_are_those_of_this_program():
    names = Names(
        origin=parse_origin("mcp+http://localhost:3001/mcp"),
        hostname="tools.relay.example.com",
        relay="https://relay.example.com",
    )
    made = plan("relay", Need(traffic=Traffic.MCP, auth=Auth.TOKEN, seconds=7_200, names=names))
    assert [step.line for step in made.run] == [
        "underpass open mcp+http://localhost:3001/mcp --name tools "
        "--relay https://relay.example.com --gate bearer --for 2h"
    ]
    assert [step.line for step in made.undo] == ["underpass close tools"]


def test_reach_has_two_ends():
    names = Names(origin=parse_origin("tcp://db:5432"), relay="https://relay.example.com")
    made = plan("relay-reach", Need(traffic=Traffic.TCP, names=names))
    assert [(step.where, step.line) for step in made.run] == [
        (
            "beside the service",
            "underpass open tcp://db:5432 --name NAME --relay https://relay.example.com --for 8h "
            "--token-file visitors-token",
        ),
        (
            "where it is needed",
            "underpass reach NAME --relay https://relay.example.com --token-file visitors-token "
            "--listen 127.0.0.1:5432",
        ),
    ]


def test_a_relay_without_an_address_is_served_first():
    steps = plan("relay", Need()).run
    assert steps[0].line.startswith("underpass relay serve --domain RELAY ")
    assert steps[0].where == "on your server"


@pytest.mark.parametrize("one", [one for one in WAYS if one.driven], ids=lambda one: one.id)
def test_our_own_commands_parse(one):
    from underpass.cli.main import root

    for need in needs_of(one):
        for step in (*plan(one.id, need).run, *plan(one.id, need).undo):
            if not step.argv:
                continue
            command, words = root, list(step.argv[1:])
            while hasattr(command, "table") and hasattr(command, "get_command"):
                command = command.get_command(None, words.pop(0))
            options = {name for param in command.params for name in param.opts}
            assert {word for word in words if word.startswith("--")} <= options


def test_an_unlimited_need_gets_the_longest_lease():
    line = plan("relay", Need(seconds=None)).run[-1].line
    assert line.endswith("--for 366d")


def test_hosted_mcp_clients_come_from_known_addresses():
    need = Need(traffic=Traffic.MCP, auth=Auth.IP, visitor=Visitor.HOSTED_MCP)
    assert "ip:160.79.104.0/21" in plan("relay", need).run[-1].argv
    assert "- 160.79.104.0/21" in plan("ngrok-free", need).run[0].text
    assert "- CIDR" in plan("ngrok-free", Need(auth=Auth.IP)).run[0].text


def test_the_bastion_example_is_one_forward_kept_by_the_service_manager():
    names = Names(
        origin=parse_origin("tcp://db-server.internal:5432"), via="tunnel-user@bastion.company.com"
    )
    need = Need(task=Task.REACH, traffic=Traffic.TCP, database=True, seconds=None, names=names)
    unit, start = plan("ssh-kept", need).run
    assert unit.file == "~/.config/systemd/user/underpass-forward.service"
    assert unit.text.splitlines()[6:9] == [
        "ExecStart=/usr/bin/env autossh -M 0 -N -T -o BatchMode=yes -o ExitOnForwardFailure=yes "
        "-o ServerAliveInterval=15 -o ServerAliveCountMax=3 -L "
        "127.0.0.1:5432:db-server.internal:5432 tunnel-user@bastion.company.com",
        "Restart=always",
        "RestartSec=10",
    ]
    assert start.line == "systemctl --user enable --now underpass-forward.service"
    assert plan("ssh-kept", need).undo[0].line == (
        "systemctl --user disable --now underpass-forward.service"
    )


def test_the_cloudflare_example_tries_the_tunnel_before_its_gate():
    names = Names(origin=parse_origin("3001"), hostname="mcp.mycompany.com")
    need = Need(traffic=Traffic.MCP, seconds=None, auth=Auth.SSO, names=names)
    told = [step.line for step in plan("cloudflare-named", need).run]
    assert told[:2] == ["cloudflared tunnel login", "cloudflared tunnel create mcp"]
    assert told[3] == "cloudflared tunnel route dns mcp mcp.mycompany.com"
    assert told.index("curl -v https://mcp.mycompany.com/health") < len(told) - 1
    assert told[-1].startswith("in the dashboard, make an Access application")
    assert plan("cloudflare-named", need).run[2].text == (
        "tunnel: mcp\ningress:\n  - hostname: mcp.mycompany.com\n"
        "    service: http://127.0.0.1:3001\n  - service: http_status:404\n"
    )


def test_a_port_of_the_ssh_host_is_an_option():
    names = Names(origin=parse_origin("tcp://db:5432"), via="me@bastion:2222")
    words = plan("ssh-local", Need(task=Task.REACH, traffic=Traffic.TCP, names=names)).run[0].argv
    assert words[-5:] == ("-p", "2222", "-L", "127.0.0.1:5432:db:5432", "me@bastion")


def test_unix_sockets_go_only_where_they_can_be_dialled(ask):
    names = Names(origin=parse_origin("unix:///run/app.sock"))
    for answer in ask(Need(names=names)).answers:
        assert way(answer.way.id).unix_origins
        assert "/run/app.sock" in "".join(step.line + step.text for step in answer.plan.run)


def test_where_nobody_can_log_in_keys_and_tokens_come_from_files():
    need = Need(seconds=None, unattended=True, auth=Auth.TOKEN)
    run = plan("cloudflare-named", need).run
    assert run[-1].line == "cloudflared tunnel --no-autoupdate run"
    assert run[-1].environment == ("TUNNEL_TOKEN_FILE",)
    assert "Service Auth" in run[1].line
    joined = plan("tailscale-serve", Need(unattended=True)).run[0]
    assert joined.line == "tailscale up --auth-key=file:tailscale-auth-key --timeout 5m"
