"""What is often told wrong about these engines is told right by the advice."""

from __future__ import annotations

import pytest

from underpass.decide.here import Here
from underpass.decide.need import Audience, Auth, Names, Need, Task, Traffic, Visitor
from underpass.decide.plans import plan
from underpass.decide.quotas import Measure
from underpass.decide.ways import WAYS, way
from underpass.model.origin import parse_origin

NAMES = Names(origin=parse_origin("3001"), hostname="mcp.example.com", via="me@host")
MCP = Need(traffic=Traffic.MCP, seconds=None, auth=Auth.SSO, names=NAMES)


def lines(identifier, need=MCP):
    made = plan(identifier, need)
    return [*(step.line for step in made.run), *(step.line for step in made.undo)]


def everything(identifier, need=MCP):
    made = plan(identifier, need)
    steps = (*made.run, *made.undo)
    return "\n".join(f"{step.line} {step.note} {step.text}" for step in steps)


def test_ngrok_is_stopped_by_its_session_and_gated_by_a_policy_file():
    people = Need(auth=Auth.SSO, visitor=Visitor.BROWSER, names=NAMES)
    told = lines("ngrok-free", people)
    assert "ngrok api tunnel-sessions stop ID" in told
    assert "ngrok api tunnel-sessions stop ID" in lines("ngrok-free")
    assert "ngrok http http://127.0.0.1:3001 --url https://mcp.example.com " in told[1] + " "
    assert told[1].endswith("--traffic-policy-file ngrok-policy.yml")
    for line in told:
        assert "tunnels delete" not in line
        assert not {"--oauth", "--basic-auth", "--cidr-allow"} & set(line.split())


def test_connect_timeout_is_not_taken_for_the_time_of_tools(ask):
    assert "connectTimeout" not in everything("cloudflare-named")
    assert any(
        "connectTimeout bounds the connect" in told for told in way("cloudflare-named").limits
    )
    slow = ask(Need(traffic=Traffic.MCP, silence_seconds=101))
    assert "cloudflare" not in {answer.way.engine for answer in slow.answers}
    assert "cloudflare-named" in {a.way.id for a in ask(Need(silence_seconds=100)).answers}


def test_nothing_is_written_for_a_desktop_client_that_would_not_read_it():
    assert all("claude_desktop_config" not in everything(one.id, MCP) for one in expose_ways())


def expose_ways():
    return [one for one in WAYS if one.gate(Auth.SSO, Need())]


def test_mcp_clients_get_oauth_and_people_a_login_page(ask):
    assert any("Managed OAuth" in limit for limit in way("cloudflare-named").limits)
    assert "access=" not in everything("cloudflare-named")
    page = Need(auth=Auth.SSO, visitor=Visitor.BROWSER, names=NAMES)
    assert "access=@YOUR.DOMAIN" in everything("cloudflare-named", page)
    for visitor in (Visitor.HOSTED_MCP, Visitor.LOCAL_MCP):
        need = Need(traffic=Traffic.MCP, auth=Auth.SSO, visitor=visitor)
        for answer in ask(need).answers:
            assert answer.gate.startswith("--gate oauth")
            assert answer.driven
    shown = ask(page).answers
    assert [one.way.id for one in shown if "login" in one.gate] == [one.way.id for one in shown]


def test_the_ports_that_do_collide_are_named():
    told = " ".join(limit for one in WAYS for limit in one.limits)
    assert "4040" in told
    assert "20241 to 20245" in told
    assert "nothing here contends for 443" in told
    assert "one cloudflared service a machine" in told


def test_autossh_fails_when_its_forward_does_and_takes_no_monitor_port():
    for seconds in (3_600, None):
        need = Need(task=Task.REACH, traffic=Traffic.TCP, seconds=seconds, names=NAMES)
        text = " ".join(step.line for step in plan("ssh-kept", need).instead)
        assert "-M 0 " in text
        assert "ExitOnForwardFailure=yes" in text
        assert " -f" not in text
        assert "ProxyJump" not in text


def test_a_vendor_s_tunnel_is_not_called_proved_by_one_curl(ask):
    people = ask(Need(auth=Auth.SSO, visitor=Visitor.BROWSER)).answers
    assert {answer.driven for answer in people} == {True, False}
    for answer in people:
        assert answer.driven or "one curl proves little" in answer.limits[0]


def test_ngrok_s_free_quotas_are_data(quotas):
    amounts = {fact.id.removeprefix("ngrok-free-"): fact.amount for fact in quotas.of("ngrok-free")}
    assert amounts["transfer"] == 1_000_000_000
    assert amounts["requests"] == 20_000
    assert (amounts["endpoints"], amounts["agents"], amounts["rules"]) == (3, 3, 5)


def test_what_leaves_no_process_is_said_to():
    for identifier in ("tailscale-serve", "tailscale-funnel"):
        assert any("without any process to be seen" in told for told in way(identifier).limits)
        need = Need(task=Task.FLEET, seconds=None, audience=Audience.PRIVATE, names=NAMES)
        assert "--bg" not in everything(identifier, need)
    bytes_there = Need(traffic=Traffic.TCP, seconds=None, names=NAMES)
    told = lines("tailscale-serve", bytes_there)
    assert "tailscale serve --bg --tcp=3001 tcp://127.0.0.1:3001" in told
    assert "tailscale serve --tcp=3001 off" in told


def test_tailscale_is_judged_by_its_backend_state():
    text = everything("tailscale-serve")
    assert "tailscale status --json" in text
    assert 'BackendState is "Running"' in text


@pytest.mark.parametrize("identifier", ["ssh-local", "ssh-kept", "ssh-remote", "localhost-run"])
def test_ssh_notices_a_dead_path_within_the_time_that_is_told(identifier):
    text = " ".join(step.line for step in plan(identifier, MCP).instead)
    assert "ServerAliveInterval=15" in text
    assert "ServerAliveCountMax=3" in text
    if identifier != "localhost-run":
        assert any("within 60 s" in told for told in way(identifier).limits)


def test_remote_ports_are_bound_to_an_explicit_address():
    by_hand = plan("ssh-remote", MCP).instead[0].line
    assert " -R 127.0.0.1:3001:127.0.0.1:3001 me@host" in by_hand


def test_ngrok_tcp_is_told_to_want_a_card(ask):
    answers = ask(Need(traffic=Traffic.TCP), Here()).answers
    answer = next(answer for answer in answers if answer.way.id == "ngrok-tcp")
    quotas = answer.quotas
    # Neither a name of HTTPS, nor one that stays.
    assert answer.way.visitor_sees == "N.tcp.ngrok.io:PORT, another at each start"
    assert "card on file" in " ".join(
        q.says for q in quotas if q.measure is Measure.TCP_CONNECTIONS
    )
