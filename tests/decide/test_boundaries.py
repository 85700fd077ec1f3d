"""What a tunnel is not for is an answer, and names what is."""

from __future__ import annotations

import pytest

from underpass.decide.need import Audience, Auth, Need, Task, Traffic, Visitor

NOT_FOR = {
    Task.LOAD_BALANCING: "reverse proxy",
    Task.CERTIFICATES: "ACME",
    Task.CONTAINERS: "Kubernetes",
    Task.FIREWALL: "zero-trust",
    Task.DNS: "zone's provider",
    Task.DISCOVERY: "service mesh",
    Task.FILES: "object storage",
    Task.MEDIA: "CDN",
    Task.ROUTING: "reverse proxy",
}


@pytest.mark.parametrize("task", NOT_FOR)
def test_each_boundary_names_the_right_tool(task, ask):
    advice = ask(Need(task=task))
    assert advice.answers == ()
    assert advice.boundary.code == task.value
    assert NOT_FOR[task] in advice.boundary.use


def test_every_task_is_either_a_tunnel_s_or_a_boundary(ask):
    served = {Task.EXPOSE, Task.REACH, Task.FLEET}
    assert served | NOT_FOR.keys() == set(Task)
    for task in served:
        assert ask(Need(task=task)).boundary is None


def test_a_database_is_not_shown_to_strangers(ask):
    public = Need(database=True, traffic=Traffic.TCP)
    assert ask(public).boundary.code == "database-in-public"
    assert "--task reach --database" in ask(public).boundary.use
    open_to_all = Need(database=True, traffic=Traffic.TCP, auth=Auth.NONE)
    assert ask(open_to_all).boundary.code == "database-in-public"
    gated = Need(database=True, traffic=Traffic.TCP, auth=Auth.TOKEN)
    assert [answer.way.id for answer in ask(gated).answers] == ["relay-reach"]
    private = Need(database=True, traffic=Traffic.TCP, audience=Audience.PRIVATE)
    assert ask(private).boundary is None


def test_when_nothing_fits_the_nearest_ways_are_named_by_what_to_give_up(ask):
    advice = ask(Need(no_third_party=True, auth=Auth.SSO, visitor=Visitor.BROWSER))
    assert advice.boundary.code == "nothing-fits"
    assert advice.boundary.use == (
        "without no-third-party: ngrok-free, cloudflare-named, ngrok-paid; "
        "without auth: relay, bore-own"
    )


def test_nothing_is_open_for_long_without_a_gate(ask):
    boundary = ask(Need(auth=Auth.NONE)).boundary
    assert boundary.code == "nothing-fits"
    assert boundary.use.startswith("without open-for-long: ngrok-free, ")


def test_udp_for_strangers_is_nothing_s_work_and_for_own_machines_a_mesh_s(ask):
    assert ask(Need(traffic=Traffic.UDP)).boundary.use == (
        "without audience: tailscale-serve, wireguard"
    )
    private = ask(Need(traffic=Traffic.UDP, audience=Audience.PRIVATE))
    assert [answer.way.id for answer in private.answers] == ["tailscale-serve", "wireguard"]


def test_a_webhook_cannot_log_in(ask):
    advice = ask(Need(visitor=Visitor.WEBHOOK, auth=Auth.SSO))
    assert advice.boundary.code == "nothing-fits"
