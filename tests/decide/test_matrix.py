"""Every row of the decision matrix, column by column: tool, auth, bandwidth, set-up time.

Where the matrix says "unlimited", the data file says what is known instead, with a date.
"""

from __future__ import annotations

import dataclasses
from datetime import date

from underpass.decide.here import Found, Here
from underpass.decide.need import HOUR, Audience, Auth, Need, Task, Traffic, Visitor
from underpass.decide.quotas import Basis, Measure


def test_mcp_demo_to_a_client_by_ngrok_free(best, ask):
    here = Here(looked=True, programs=(Found("ngrok", "3.22.0"),), accounts=frozenset({"ngrok"}))
    demo = {"traffic": Traffic.MCP, "demo": True, "free": True}
    by_address = best(Need(**demo, auth=Auth.IP, visitor=Visitor.HOSTED_MCP), here)
    by_login = best(Need(**demo, auth=Auth.SSO, visitor=Visitor.BROWSER), here)
    # The login of people is ngrok's own; addresses are judged by us, wherever they come in.
    for answer, gate, driven in (
        (by_address, "--gate ip:160.79.104.0/21", True),
        (by_login, "oauth in a traffic policy", False),
    ):
        assert answer.driven is driven
        assert answer.way.id == "ngrok-free"
        assert gate in answer.gate
        assert answer.setup_seconds == 30
        said = {quota.measure: (quota.amount, quota.as_of) for quota in answer.quotas}
        assert said[Measure.TRANSFER] == (10**9, date(2026, 8, 7))
        # The matrix leaves this one out.
        assert said[Measure.REQUESTS] == (20_000, date(2026, 8, 7))
    # An MCP client cannot follow a browser's login: it gets our own OAuth.
    client = best(Need(**demo, auth=Auth.SSO, visitor=Visitor.HOSTED_MCP), here)
    assert (client.way.id, client.driven) == ("ngrok-free", True)
    assert client.gate.startswith("--gate oauth: MCP clients sign in")


def test_production_mcp_by_cloudflare_access(best):
    need = Need(
        traffic=Traffic.MCP, seconds=None, own_domain=True, auth=Auth.SSO, visitor=Visitor.LOCAL_MCP
    )
    answer = best(need)
    assert answer.way.id == "cloudflare-named"
    assert answer.gate.startswith("--gate oauth: MCP clients sign in")
    people = best(dataclasses.replace(need, visitor=Visitor.BROWSER))
    assert people.way.id == "cloudflare-named"
    assert people.gate == "Access, a login page at the edge, and --gate link behind it"
    assert answer.driven
    assert people.driven
    assert answer.setup_seconds == 300
    said = {quota.measure: quota for quota in answer.quotas}
    assert said[Measure.BANDWIDTH].amount is None
    assert said[Measure.SILENCE].amount == 100
    assert said[Measure.BODY].amount == 100_000_000


def test_agent_fleet_by_tailscale(best):
    need = Need(task=Task.FLEET, machines=3, audience=Audience.PRIVATE, auth=Auth.SSO)
    answer = best(need)
    assert answer.way.id == "tailscale-serve"
    assert answer.gate == (
        "the tailnet's login, and its access rules, and behind them --gate bearer"
    )
    assert answer.setup_seconds == 3 * 120
    said = {quota.measure: quota for quota in answer.quotas}
    assert said[Measure.BANDWIDTH].amount is None


def test_database_access_by_ssh(best):
    need = Need(task=Task.REACH, traffic=Traffic.TCP, database=True, auth=Auth.KEYS)
    answer = best(need, Here(ssh_login=True))
    assert answer.way.id == "ssh-local"
    assert answer.gate == "SSH keys"
    assert answer.quotas == ()
    assert answer.setup_seconds == 10


def test_ci_by_bore(best, ask):
    need = Need(traffic=Traffic.TCP, unattended=True, seconds=HOUR)
    answer = best(need, Here(own_server=True))
    assert answer.way.id == "bore-own"
    assert all(step.environment == ("BORE_SECRET",) for step in answer.plan.run)
    assert "the shared secret guards opening tunnels, not visiting them" in answer.limits
    assert answer.quotas == ()
    assert answer.setup_seconds == 60
    without = best(need, Here(own_server=False))
    assert without.way.id == "bore-pub"
    assert [quota.amount for quota in without.quotas] == [None]
    # So where visitors must show a secret, bore is no answer.
    gated = ask(Need(traffic=Traffic.TCP, unattended=True, seconds=HOUR, auth=Auth.TOKEN))
    assert "bore" not in {one.way.engine for one in gated.answers}


def test_no_row_calls_anything_unlimited(quotas):
    for fact in quotas.facts:
        assert "unlimited" not in fact.says.lower()
        if fact.measure is Measure.BANDWIDTH and fact.basis is Basis.REPORTED:
            assert fact.amount is None
