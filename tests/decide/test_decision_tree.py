"""Every leaf of the decision tree, by the words of the tree, and what is recommended at it.

Where a leaf says more than an engine, the command is compared too: with what was wrong corrected.
"""

from __future__ import annotations

import pytest

from underpass.decide.here import Here
from underpass.decide.need import HOUR, Audience, Auth, Names, Need, Task, Traffic, Visitor
from underpass.model.origin import parse_origin

HTTP = Names(origin=parse_origin("3001"))
DATABASE = Names(origin=parse_origin("tcp://db:5432"), via="user@jumpbox")
REACH = {
    "task": Task.REACH,
    "audience": Audience.PRIVATE,
    "traffic": Traffic.TCP,
    "database": True,
    "names": DATABASE,
}
KEPT = (
    "-o ExitOnForwardFailure=yes -o ServerAliveInterval=15 -o ServerAliveCountMax=3 "
    "-L 127.0.0.1:5432:db:5432 user@jumpbox"
)

LEAVES = {
    "quick test, request inspection: ngrok http 3001": (
        Need(seconds=HOUR, inspect=True, names=HTTP),
        Here(),
        "ngrok-free",
        "underpass open 3001 --name NAME --engine ngrok --gate bearer --for 1h",
    ),
    "quick test, zero signup and install: ssh -R localhost.run": (
        Need(seconds=HOUR, no_signup=True, no_install=True, names=HTTP),
        Here(),
        "localhost-run",
        "underpass open 3001 --name NAME --via ssh-service:nokey@localhost.run "
        "--engine-option trust=new --gate bearer --for 1h",
    ),
    "production MCP server, own domain and auth: Cloudflare Tunnel and Access": (
        Need(
            traffic=Traffic.MCP,
            seconds=None,
            own_domain=True,
            auth=Auth.SSO,
            visitor=Visitor.HOSTED_MCP,
            names=Names(
                origin=parse_origin("mcp+http://localhost:3001/mcp"), hostname="mcp.ex.com"
            ),
        ),
        Here(),
        "cloudflare-named",
        "underpass open mcp+http://localhost:3001/mcp --name mcp --engine cloudflare "
        "--engine-option hostname=mcp.ex.com --engine-option 'token-file=~/mcp.token' "
        "--gate oauth --for 366d",
    ),
    # The tree says paid: by now the free plan has a name that stays.
    "production MCP server, demo only: ngrok with a stable domain": (
        Need(traffic=Traffic.MCP, seconds=None, demo=True, stable_name=True, names=HTTP),
        Here(),
        "ngrok-free",
        "underpass open 3001 --mcp --name NAME --engine ngrok --gate bearer --for 366d",
    ),
    "the same beyond the free plan: paid": (
        Need(
            traffic=Traffic.MCP,
            seconds=None,
            demo=True,
            stable_name=True,
            monthly_bytes=2 * 10**9,
            names=Names(origin=parse_origin("3001"), hostname="demo.example.com"),
        ),
        Here(),
        "ngrok-paid",
        "underpass open 3001 --mcp --name demo --engine ngrok "
        "--engine-option url=https://demo.example.com --engine-option account=paid --gate bearer "
        "--for 366d",
    ),
    "fleet, selective public exposure: Tailscale mesh and Funnel": (
        Need(task=Task.FLEET, machines=3, names=HTTP),
        Here(),
        "tailscale-funnel",
        "underpass open 3001 --name NAME --engine tailscale --engine-option share=funnel "
        "--gate bearer --for 8h",
    ),
    "fleet, all private: Tailscale serve": (
        Need(task=Task.FLEET, machines=3, audience=Audience.PRIVATE, names=HTTP),
        Here(),
        "tailscale-serve",
        "underpass open 3001 --name NAME --engine tailscale --gate bearer --for 8h",
    ),
    "remote database, SSH access to a jumpbox: ssh -L": (
        Need(**REACH),
        Here(ssh_login=True),
        "ssh-local",
        "underpass reach db:5432 --via ssh:user@jumpbox --listen 127.0.0.1:5432",
    ),
    "remote database, persistent: autossh": (
        Need(**REACH, persistent=True),
        Here(ssh_login=True),
        "ssh-kept",
        "systemctl --user enable --now underpass-forward.service",
    ),
    "remote database, persistent, no login: or WireGuard": (
        Need(**REACH, persistent=True),
        Here(ssh_login=False),
        "wireguard",
        "underpass open tcp://db:5432 --name NAME --via wireguard:peer1@mesh.toml "
        "--engine-option port=5432 --gate ip:10.77.0.0/24 --for 8h",
    ),
    "self-hosted, simple TCP forwarding: bore": (
        Need(
            no_third_party=True,
            traffic=Traffic.TCP,
            names=Names(origin=parse_origin("tcp://127.0.0.1:9000"), via="relay.example.com"),
        ),
        Here(),
        "bore-own",
        "underpass open tcp://127.0.0.1:9000 --name NAME --via bore:relay.example.com --public "
        "--for 1h",
    ),
    "self-hosted, full VPN mesh: WireGuard": (
        Need(no_third_party=True, task=Task.FLEET, audience=Audience.PRIVATE, whole_network=True),
        Here(),
        "wireguard",
        "underpass wg up mesh.toml hub --open",
    ),
}


@pytest.mark.parametrize("leaf", LEAVES)
def test_each_leaf_gets_its_engine_and_a_command_that_works(leaf, best):
    need, here, way, command = LEAVES[leaf]
    answer = best(need, here)
    assert answer.way.id == way
    assert command in [step.line for step in answer.plan.run]


BY_HAND = {
    "remote database, SSH access to a jumpbox: ssh -L": f"ssh -N -T {KEPT}",
    "remote database, persistent: autossh": (
        f"env AUTOSSH_GATETIME=0 autossh -M 0 -N -T -o BatchMode=yes {KEPT}"
    ),
    "quick test, zero signup and install: ssh -R localhost.run": (
        "ssh -T -o ExitOnForwardFailure=yes -o ServerAliveInterval=15 -o ServerAliveCountMax=3 "
        "-R 80:127.0.0.1:3001 nokey@localhost.run"
    ),
    "self-hosted, full VPN mesh: WireGuard": "wg-quick up ./peer1-pack/peer1.conf",
}


@pytest.mark.parametrize("leaf", BY_HAND)
def test_the_tree_s_own_command_is_told_for_where_there_is_no_underpass(leaf, best):
    need, here, _, _ = LEAVES[leaf]
    assert BY_HAND[leaf] in [step.line for step in best(need, here).plan.instead]


@pytest.mark.parametrize("leaf", LEAVES)
def test_each_leaf_is_opened_guarded_and_proved_by_us(leaf, best):
    need, here, _, _ = LEAVES[leaf]
    assert best(need, here).driven


def test_a_persistent_connection_offers_both_of_the_leaf(ask):
    answers = ask(Need(**REACH, persistent=True), Here(ssh_login=True)).answers
    assert [answer.way.id for answer in answers[:2]] == ["ssh-kept", "wireguard"]


@pytest.mark.parametrize(
    ("need", "here"),
    [
        (Need(no_third_party=True, auth=Auth.TOKEN, visitor=Visitor.LOCAL_MCP), Here()),
        (Need(resumable=True, streaming=True), Here(own_server=True)),
        (Need(no_third_party=True), Here(own_server=True)),
        (Need(no_third_party=True, traffic=Traffic.TCP, auth=Auth.IP), Here()),
        (Need(traffic=Traffic.TCP, auth=Auth.TOKEN, database=True), Here(own_server=True)),
    ],
    ids=["token", "resumable", "http", "tcp behind addresses", "database by token"],
)
def test_our_relay_is_first_where_it_alone_keeps_the_constraints(need, here, best):
    answer = best(need, here)
    assert answer.way.engine == "relay"
    assert answer.driven


@pytest.mark.parametrize("leaf", [leaf for leaf in LEAVES if "bore" not in leaf])
def test_our_relay_is_not_first_where_others_serve_better(leaf, best):
    need, here, _, _ = LEAVES[leaf]
    assert best(need, here).way.engine != "relay"
