"""``underpass mesh`` on a real tailnet, broken in the ways that a fleet of machines breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.edges.tailscale import PATIENCE, Node
from tests.engines.tailscale.tailnet import Tailnet, codes, mesh

from underpass.testing.origins.http import HttpOrigin

pytestmark = [pytest.mark.xdist_group("tailscale"), pytest.mark.timeout(180)]


class Fleet(Tailnet):
    """``alpha`` is the laptop, ``beta`` the machine that gets lost, ``gamma`` a third."""

    async def start(self) -> None:
        await super().start()
        self.gamma = await self.join("gamma")


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    made = Fleet()
    try:
        asyncio.run(made.start())
        yield made
    finally:
        made.stop()


async def until(node: Node, peer: Node, **wanted: object) -> None:
    """Wait until ``node`` sees ``peer`` as ``wanted``."""
    async with asyncio.timeout(PATIENCE):
        while True:
            peers = (await node.status())["Peer"].values()
            seen = next((it for it in peers if it["HostName"] == peer.name), {})
            if all(seen.get(name) == value for name, value in wanted.items()):
                return
            await asyncio.sleep(0.1)


async def test_a_whole_mesh_is_told_as_such(fleet: Fleet) -> None:
    async with HttpOrigin() as origin:
        await fleet.beta.run(
            "serve", "--bg", "--yes", "--http=8001", f"http://127.0.0.1:{origin.port}"
        )
        url = "http://beta.tail.test:8001/health"
        code, told = await mesh("check", "--visit", url, node=fleet.alpha)
        await fleet.beta.run("serve", "reset")
    assert (code, told["ok"], told["scope"]) == (0, True, "none")
    assert codes(told) == {
        "alpha.tail.test": "node-running",
        "beta.tail.test": "peer-reached",
        "gamma.tail.test": "peer-reached",
        url: "visited",
    }


async def test_a_program_that_does_not_answer_is_told_apart_from_its_machine(
    fleet: Fleet,
) -> None:
    url = "http://beta.tail.test:8001/"
    code, told = await mesh("check", "beta", "--visit", url, node=fleet.alpha)
    assert code == 5
    assert codes(told)["beta.tail.test"] == "peer-reached"
    assert codes(told)[url] == "no-answer"


async def test_a_machine_that_went_is_named_with_what_somebody_has_to_do_there(
    fleet: Fleet,
) -> None:
    fleet.beta.stop()
    await until(fleet.alpha, fleet.beta, Online=False)
    try:
        code, told = await mesh("recover", "--yes", node=fleet.alpha)
    finally:
        await fleet.beta.start()
    assert code == 5
    assert told["after"]["scope"] == "beta.tail.test"
    assert codes(told["after"])["beta.tail.test"] == "peer-offline"
    assert codes(told["after"])["gamma.tail.test"] == "peer-reached"
    step = next(it for it in told["after"]["steps"] if it["subject"] == "beta.tail.test")
    assert (step["ours"], step["command"][-2:]) == (False, ["restart", "tailscaled"])
    await until(fleet.alpha, fleet.beta, Online=True)
    assert (await mesh("check", node=fleet.alpha))[0] == 0


async def test_a_key_that_ended_there_is_told_as_a_rule_and_not_as_the_network(
    fleet: Fleet,
) -> None:
    await fleet.headscale.expire("beta")
    await fleet.beta.wait_state("NeedsLogin")
    await until(fleet.alpha, fleet.beta, Expired=True)
    code, told = await mesh("check", "beta", "gamma", node=fleet.alpha)
    assert code == 5
    assert codes(told)["beta.tail.test"] == "peer-key-expired"
    # The same machine, seen from itself: there it can be mended.
    code, told = await mesh("recover", "--yes", node=fleet.beta, key=fleet.key)
    assert code == 0, told
    assert told["before"]["scope"] == "here"
    assert [(it["code"], it["verified"]) for it in told["taken"]] == [("sign-in", True)]
    assert (await fleet.beta.status())["BackendState"] == "Running"
    await until(fleet.alpha, fleet.beta, Expired=None)
    assert (await mesh("check", node=fleet.alpha))[0] == 0


async def test_signing_in_without_a_key_waits_for_somebody_with_a_browser(fleet: Fleet) -> None:
    await fleet.headscale.expire("gamma")
    await fleet.gamma.wait_state("NeedsLogin")
    said: list[str] = []
    recovering = asyncio.create_task(mesh("recover", "--yes", "beta", node=fleet.gamma, say=said))
    async with asyncio.timeout(PATIENCE):
        while not (told := [line for line in said if "sign in here: " in line]):
            assert not recovering.done(), recovering.result()
            await asyncio.sleep(0.05)
    await fleet.headscale.approve(told[0].strip().rpartition(" ")[2])
    code, told_all = await recovering
    assert code == 0, told_all
    assert told_all["taken"][0]["verified"]


async def test_a_node_that_was_switched_off_is_switched_on(fleet: Fleet) -> None:
    await fleet.gamma.run("down")
    await fleet.gamma.wait_state("Stopped")
    code, told = await mesh("recover", "--dry-run", node=fleet.gamma)
    assert (code, told["taken"]) == (5, [])
    assert told["before"]["steps"][0]["code"] == "switch-on"
    assert (await fleet.gamma.status())["BackendState"] == "Stopped"
    code, told = await mesh("recover", "--yes", node=fleet.gamma)
    assert code == 0, told
    assert told["taken"][0]["verified"]


async def test_a_machine_that_is_frozen_counts_as_a_blocked_way_and_the_step_did_not_help(
    fleet: Fleet,
) -> None:
    fleet.beta.freeze()
    try:
        code, told = await mesh("recover", "beta", "--yes", node=fleet.alpha)
    finally:
        fleet.beta.thaw()
    assert code == 5
    assert codes(told["before"])["beta.tail.test"] in {"path-blocked", "peer-offline"}
    for taken in told["taken"]:
        assert (taken["code"], taken["verified"]) == ("rebind", False)
    await until(fleet.alpha, fleet.beta, Online=True)


async def test_a_whole_mesh_that_is_gone_is_told_apart_from_one_machine(fleet: Fleet) -> None:
    fleet.beta.stop()
    fleet.gamma.stop()
    await until(fleet.alpha, fleet.beta, Online=False)
    await until(fleet.alpha, fleet.gamma, Online=False)
    try:
        code, told = await mesh("check", node=fleet.alpha)
    finally:
        await fleet.beta.start()
        await fleet.gamma.start()
    assert (code, told["scope"]) == (5, "everywhere")


async def test_a_name_that_the_tailnet_does_not_know_is_told_as_such(fleet: Fleet) -> None:
    code, told = await mesh("check", "nobody", node=fleet.alpha)
    assert code == 5
    assert codes(told)["nobody"] == "peer-unknown"


async def test_a_daemon_that_is_away_is_told_with_how_to_start_it(
    fleet: Fleet, tmp_path: Path
) -> None:
    node = Node(tmp_path, "none", fleet.headscale.url, fleet.headscale.ca)
    code, told = await mesh("recover", "--yes", node=node)
    assert code == 5
    assert codes(told["after"]) == {"this node": "daemon-away"}
    assert told["after"]["steps"][0]["command"][:2] == ["sudo", "systemctl"]


async def test_a_network_that_lets_no_udp_out_is_told_by_netcheck(fleet: Fleet) -> None:
    fleet.beta.freeze()
    fleet.headscale.stop()  # STUN goes with it
    try:
        code, told = await mesh("check", "beta", node=fleet.alpha)
    finally:
        await fleet.headscale.start()
        fleet.beta.thaw()
    assert code == 5
    found = {each["code"]: each["ok"] for each in told["findings"]}
    assert found["udp-blocked"] is True  # by itself it is no fault: there are relays
