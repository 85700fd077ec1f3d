"""Every way has commands and an undo; none holds a secret, none can be turned by what fills it."""

from __future__ import annotations

import re
import shlex

import pytest
from tests.decide.grid import needs_of

from underpass.decide.need import Auth, Names, Need, Task, Traffic, Visitor
from underpass.decide.plans import plan
from underpass.decide.ways import WAYS
from underpass.model.origin import parse_origin
from underpass.model.rules import is_name


@pytest.mark.parametrize("one", WAYS, ids=lambda one: one.id)
def test_every_way_can_be_set_up_and_taken_down_for_all_it_offers(one):
    for need in needs_of(one):
        made = plan(one.id, need)
        assert made.run
        assert made.undo
        for step in (*made.run, *made.undo, *made.instead):
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


def opens(step):
    words = f"{' '.join(step.argv)} {step.text}"
    return any(f"underpass {verb} " in words for verb in ("open", "reach", "wg up"))


@pytest.mark.parametrize("one", WAYS, ids=lambda one: one.id)
def test_a_plan_is_ours_or_says_why_it_is_the_vendor_s(one):
    for need in needs_of(one):
        made = plan(one.id, need)
        if not one.chosen(need).serves(need):
            continue  # such a visitor cannot come this way
        assert any(map(opens, made.run)) is (made.theirs == ""), need


TOOLS = Names(
    origin=parse_origin("mcp+http://localhost:3001/mcp"),
    hostname="tools.example.com",
    relay="https://relay.example.com",
    via="me@host.example.com:2222",
)
MCP = "underpass open mcp+http://localhost:3001/mcp --name tools"

OPENED = {
    "relay": f"{MCP} --relay https://relay.example.com --gate bearer --for 2h",
    "ngrok-free": f"{MCP} --engine ngrok --engine-option url=https://tools.example.com "
    "--gate bearer --for 2h",
    "cloudflare-quick": f"{MCP} --engine cloudflare --gate bearer --for 2h",
    "cloudflare-named": f"{MCP} --engine cloudflare --engine-option hostname=tools.example.com "
    "--engine-option 'token-file=~/tools.token' --gate bearer --for 2h",
    "localhost-run": f"{MCP} --via ssh-service:nokey@localhost.run --engine-option trust=new "
    "--gate bearer --for 2h",
    "pinggy": f"{MCP} --via ssh-service:a.pinggy.io:443 --engine-option port=0 "
    "--engine-option trust=new --gate bearer --for 2h",
    "tailscale-funnel": f"{MCP} --engine tailscale --engine-option share=funnel --gate bearer "
    "--for 2h",
    "tailscale-serve": f"{MCP} --engine tailscale --gate bearer --for 2h",
    "ssh-remote": f"{MCP} --via ssh:me@host.example.com:2222 --engine-option port=3001 "
    "--gate bearer --for 2h",
    "wireguard": f"{MCP} --via wireguard:peer1@mesh.toml --engine-option port=3001 --gate bearer "
    "--for 2h",
}


@pytest.mark.parametrize("identifier", OPENED)
def test_one_command_opens_guards_and_proves_whatever_the_engine(identifier):
    need = Need(traffic=Traffic.MCP, auth=Auth.TOKEN, seconds=7_200, names=TOOLS)
    made = plan(identifier, need)
    assert OPENED[identifier] in [step.line for step in made.run]
    assert "underpass close tools" in [step.line for step in made.undo]


def test_reach_has_two_ends():
    names = Names(origin=parse_origin("tcp://db:5432"), relay="https://relay.example.com")
    made = plan("relay-reach", Need(traffic=Traffic.TCP, names=names))
    assert [(step.where, step.line) for step in made.run] == [
        (
            "beside the service",
            "underpass open tcp://db:5432 --name NAME --relay https://relay.example.com "
            "--gate bearer --for 8h --token-file visitors-token",
        ),
        (
            "where it is needed",
            "underpass reach NAME --relay https://relay.example.com --token-file visitors-token "
            "--listen 127.0.0.1:5432",
        ),
    ]


@pytest.mark.parametrize(
    ("visitor", "gate"),
    [
        (None, "bearer"),
        (Visitor.PROGRAM, "bearer"),
        (Visitor.HOSTED_MCP, "oauth"),
        (Visitor.WEBHOOK, "signature:SCHEME"),
        (Visitor.BROWSER, "basic"),
    ],
)
def test_a_gate_that_was_not_named_is_one_that_the_visitor_can_pass(visitor, gate):
    words = plan("relay", Need(visitor=visitor)).run[-1].argv
    assert words[words.index("--gate") + 1] == gate


def test_oauth_asks_for_an_address_that_stays_or_says_that_it_changes():
    sso = Need(traffic=Traffic.MCP, auth=Auth.SSO)
    assert "url=https://YOUR-DEV-DOMAIN" in plan("ngrok-free", sso).run[0].line
    assert "url=https://HOST.YOUR.DOMAIN" in plan("ngrok-paid", sso).run[0].line
    for identifier in ("cloudflare-quick", "localhost-run", "pinggy"):
        assert "--gate oauth --changing-url " in plan(identifier, sso).run[0].line
    assert "--changing-url" not in plan("relay", sso).run[-1].line


def test_an_open_port_is_open_for_an_hour_and_said_to_be(ask):
    need = Need(traffic=Traffic.TCP, seconds=None)
    assert plan("bore-own", need).run[1].line.endswith("--public --for 1h")
    answer = next(one for one in ask(need).answers if one.way.id == "bore-own")
    assert any("public_limit in policy.toml" in limit for limit in answer.limits)


def test_an_origin_of_another_kind_is_said_anew():
    def origin(text, traffic):
        need = Need(traffic=traffic, names=Names(origin=parse_origin(text)))
        return plan("relay", need).run[-1].argv[2:4]

    assert origin("3001", Traffic.MCP) == ("3001", "--mcp")
    assert origin("tcp://127.0.0.1:9", Traffic.HTTP)[0] == "http://127.0.0.1:9"
    assert origin("mcp+unix:///run/a", Traffic.HTTP)[0] == "unix:///run/a"
    assert origin("mcp+stdio:uvx server", Traffic.MCP)[0] == "mcp+stdio:uvx server"


def test_what_is_to_be_inspected_is_recorded_here():
    made = plan("ngrok-free", Need(inspect=True, names=TOOLS))
    assert "underpass requests tools --follow" in [step.line for step in made.run]


def test_a_relay_without_an_address_is_served_first():
    steps = plan("relay", Need()).run
    assert steps[0].line.startswith("underpass relay serve --domain RELAY ")
    assert steps[0].where == "on your server"


def test_an_unlimited_need_gets_the_longest_lease():
    line = plan("relay", Need(seconds=None)).run[-1].line
    assert line.endswith("--for 366d")


def test_hosted_mcp_clients_come_from_known_addresses():
    need = Need(traffic=Traffic.MCP, auth=Auth.IP, visitor=Visitor.HOSTED_MCP)
    for identifier in ("relay", "ngrok-free", "cloudflare-quick", "cloudflare-named"):
        assert any("ip:160.79.104.0/21" in step.argv for step in plan(identifier, need).run)
    anybody = Need(traffic=Traffic.MCP, auth=Auth.IP)
    assert "ip:CIDR" in plan("relay", anybody).run[-1].argv


def test_the_bastion_example_is_one_forward_kept_by_the_service_manager():
    names = Names(
        origin=parse_origin("tcp://db-server.internal:5432"), via="tunnel-user@bastion.company.com"
    )
    need = Need(task=Task.REACH, traffic=Traffic.TCP, database=True, seconds=None, names=names)
    made = plan("ssh-kept", need)
    unit, start = made.run
    assert unit.file == "~/.config/systemd/user/underpass-forward.service"
    assert unit.text.splitlines()[5:8] == [
        "ExecStart=/usr/bin/env underpass reach db-server.internal:5432 "
        "--via ssh:tunnel-user@bastion.company.com --listen 127.0.0.1:5432",
        "Restart=always",
        "RestartSec=10",
    ]
    assert start.line == "systemctl --user enable --now underpass-forward.service"
    assert made.undo[0].line == "systemctl --user disable --now underpass-forward.service"
    assert [step.line for step in made.instead] == [
        "env AUTOSSH_GATETIME=0 autossh -M 0 -N -T -o BatchMode=yes -o ExitOnForwardFailure=yes "
        "-o ServerAliveInterval=15 -o ServerAliveCountMax=3 -L "
        "127.0.0.1:5432:db-server.internal:5432 tunnel-user@bastion.company.com"
    ]


def test_the_cloudflare_example_proves_the_tunnel_before_access_stands():
    names = Names(origin=parse_origin("3001"), hostname="mcp.mycompany.com")
    need = Need(seconds=None, auth=Auth.SSO, visitor=Visitor.BROWSER, names=names)
    made = plan("cloudflare-named", need)
    told = [step.line for step in made.run]
    assert told[:2] == ["cloudflared tunnel login", "cloudflared tunnel create mcp"]
    assert told[2] == "sh -c 'umask 077; cloudflared tunnel token mcp > ~/mcp.token'"
    options = (
        "--engine cloudflare --engine-option hostname=mcp.mycompany.com "
        "--engine-option 'token-file=~/mcp.token' "
        "--engine-option 'api-token-file=~/cloudflare-api.token'"
    )
    assert told[4] == f"underpass changes 3001 {options}"
    assert told[5] == (
        f"underpass open 3001 --name mcp {options} --engine-option access=@YOUR.DOMAIN "
        "--gate link --engine-option 'access-token-file=~/access.token' --for 366d"
    )
    assert made.run[5].note == "proves the tunnel first, and puts Access on only then"
    undone = [step.line for step in made.undo]
    assert undone[:2] == ["underpass close mcp", "cloudflared tunnel delete mcp"]
    assert "are undone" in made.undo[0].note


def test_what_stays_at_the_vendor_is_told_with_how_to_remove_it():
    names = Names(origin=parse_origin("3001"), hostname="mcp.mycompany.com")
    undo = plan("cloudflare-named", Need(names=names)).undo
    assert [step.line for step in undo[1:]] == [
        "cloudflared tunnel delete mcp",
        "delete the DNS record mcp.mycompany.com by hand",
        "delete ~/mcp.token",
    ]


def test_a_port_of_the_ssh_host_goes_with_it():
    names = Names(origin=parse_origin("tcp://db:5432"), via="me@bastion:2222")
    made = plan("ssh-local", Need(task=Task.REACH, traffic=Traffic.TCP, names=names))
    assert made.run[0].line == (
        "underpass reach db:5432 --via ssh:me@bastion:2222 --listen 127.0.0.1:5432"
    )
    assert made.instead[0].argv[-5:] == (
        *("-p", "2222", "-L", "127.0.0.1:5432:db:5432", "me@bastion"),
    )


@pytest.mark.parametrize(
    ("text", "traffic", "said"),
    [
        ("unix:///run/app.sock", Traffic.HTTP, "/run/app.sock"),
        ("mcp+stdio:uvx server", Traffic.MCP, "mcp+stdio:uvx server"),
    ],
)
def test_whatever_the_gatehouse_can_dial_every_engine_can_carry(text, traffic, said, ask):
    need = Need(traffic=traffic, names=Names(origin=parse_origin(text)))
    answers = ask(need).answers
    assert {"relay", "ngrok-free", "localhost-run"} <= {answer.way.id for answer in answers}
    for answer in answers:
        assert any(said in word for step in answer.plan.run for word in step.argv)
    # The vendors' own commands can dial neither.
    login = Need(auth=Auth.SSO, visitor=Visitor.BROWSER, names=need.names, traffic=traffic)
    broken = {unfit.way.id: [code for code, _ in unfit.broken] for unfit in ask(login).unfit}
    assert broken["ngrok-free"] == ["origin"]


def test_where_nobody_can_log_in_keys_and_tokens_come_from_files_and_variables():
    need = Need(seconds=None, unattended=True, auth=Auth.TOKEN, names=TOOLS)
    told = [step.line for step in plan("cloudflare-named", need).run]
    assert not any("login" in line for line in told)
    assert "'token-file=~/tools.token'" in told[-1]
    assert "'api-token-file=~/cloudflare-api.token'" in told[-1]
    joined = plan("tailscale-serve", Need(unattended=True, names=TOOLS)).run[0]
    assert "--engine tailscale --engine-option daemon=private" in joined.line
    assert joined.environment == ("TS_AUTHKEY",)
    fleet = plan("tailscale-serve", Need(task=Task.FLEET, unattended=True)).run[0]
    assert fleet.line == "tailscale up --auth-key=file:tailscale-auth-key --timeout 5m"


@pytest.mark.parametrize("hostname", ["m.ex.com", "ab--c.example.com", "a"])
def test_a_host_name_whose_first_label_is_no_name_gives_none(hostname):
    names = Names(origin=parse_origin("3001"), hostname=hostname)
    words = plan("cloudflare-quick", Need(names=names)).run[0].argv
    name = words[words.index("--name") + 1]
    assert name == "NAME" or is_name(name)
