"""A development relay as a process, and what its operator can do while it serves."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import time

import pytest
from tests.e2e.stage import Stage
from tests.e2e.visitors import get

from underpass.testing.origins.http import HttpOrigin


async def test_ready_object_is_exactly_what_is_documented(stage: Stage):
    relay = await stage.relay()
    url = f"http://127.0.0.1:{relay.port}"
    assert list(relay.ready) == [
        *("schema", "event", "public_url", "link_url", "enrol_token_file"),
    ]
    assert relay.ready == {
        "schema": "underpass/v1/relay",
        "event": "ready",
        "public_url": url,
        "link_url": url,
        "enrol_token_file": str(relay.state / "enrol-token"),
    }
    assert stat.S_IMODE(os.stat(relay.state / "enrol-token").st_mode) == 0o600


async def test_a_tunnel_enrols_once_and_its_relay_is_named_to_people(
    stage: Stage, origin: HttpOrigin
):
    relay = await stage.relay()
    first = await stage.open(str(origin.port), "--name", "tools", *relay.link)
    assert (await get(first.url, first.bearer)).status == 200
    page = (await stage.run("show", "tools")).out
    assert f"  relay   {relay.url}: TLS ends there, so its operator could read\n" in page
    await first.stop()
    # the key is known now
    again = await stage.open(str(origin.port), "--name", "tools", "--relay", relay.url)
    assert again.url == first.url
    await again.stop()
    assert await stage.leftovers(1) == [str(path) for path in stage.runtime.glob("*.doors")] + [
        line for line in await stage.leftovers(0.1) if "relay serve" in line
    ]


@pytest.mark.slow
async def test_port_stays_bound_while_the_connector_is_away_and_after_a_restart(
    stage: Stage, origin: HttpOrigin
):
    relay = await stage.relay()
    tunnel = await stage.open(str(origin.port), "--name", "tools", *relay.link)
    await tunnel.stop(signal.SIGKILL)
    away = await get(tunnel.url)
    assert (away.status, away.code) == (503, "connector-away")
    assert int(away.headers["retry-after"]) > 0
    await relay.stop(signal.SIGKILL)
    back = await stage.relay(listen=f"127.0.0.1:{relay.port}")
    assert back.ready == relay.ready
    still = await get(tunnel.url)
    assert (still.status, still.code) == (503, "connector-away")
    again = await stage.open(str(origin.port), "--name", "tools", "--relay", back.url)
    assert again.url == tunnel.url
    assert (await get(again.url, again.bearer)).status == 200


async def test_a_tunnel_outlives_its_relay_and_keeps_its_url(stage: Stage, origin: HttpOrigin):
    relay = await stage.relay()
    tunnel = await stage.open(str(origin.port), "--name", "tools", *relay.link)
    await relay.stop(signal.SIGKILL)
    lost = await tunnel.event("failing")
    assert lost["verdict"]["layer"] in ("relay", "link")
    await stage.relay(listen=f"127.0.0.1:{relay.port}")
    assert (await tunnel.event("live"))["tunnel"]["url"] == tunnel.url
    assert (await get(tunnel.url, tunnel.bearer)).status == 200
    assert await tunnel.stop() == 130


async def test_revocation_cuts_within_5_seconds(stage: Stage, origin: HttpOrigin):
    relay = await stage.relay()
    tunnel = await stage.open(str(origin.port), "--name", "tools", *relay.link)
    where = ("--state", str(relay.state))
    (key,) = (await stage.run("relay", "keys", "list", *where, "--json")).json["keys"]
    assert (key["names"], key["revoked_at"]) == (1, None)
    assert key["fingerprint"] in (await stage.run("relay", "keys", "list", *where)).out
    before = time.monotonic()
    revoked = await stage.run("relay", "keys", "revoke", key["fingerprint"], *where, "--json")
    assert revoked.json["keys"][0]["revoked_at"] is not None
    done = await tunnel.ended()
    assert time.monotonic() - before < 5.0
    assert done.code == 4
    assert done.lines[-1]["error"]["code"] == "key-revoked"
    refused = await stage.run("open", str(origin.port), *relay.link, "--json")
    assert (refused.code, refused.json["error"]["code"]) == (4, "key-revoked")
    assert [line for line in await stage.leftovers(1) if "relay" not in line] == [
        str(path) for path in stage.runtime.glob("*.doors")
    ]


async def test_names_are_listed_released_and_transferred(stage: Stage, origin: HttpOrigin):
    relay = await stage.relay()
    other = stage.somebody_else("bob")
    where = ("--state", str(relay.state))
    words = (str(origin.port), "--name", "tools", *relay.link)
    tunnel = await stage.open(*words)
    (name,) = (await stage.run("relay", "names", "list", *where, "--json")).json["names"]
    assert (name["name"], name["chosen"], name["port"]) == ("tools", True, tunnel.port)
    assert "tools" in (await stage.run("relay", "names", "list", *where)).out

    taken = await other.run("open", *words, "--json")
    assert (taken.code, taken.json["error"]["code"]) == (9, "name-taken")

    theirs = await other.open(str(origin.port), "--name", "bobs-own", *relay.link)
    await theirs.stop()
    keys = (await stage.run("relay", "keys", "list", *where, "--json")).json["keys"]
    bob = next(key for key in keys if key["fingerprint"] != name["key"])
    given = await stage.run(
        *("relay", "names", "transfer", "tools", "--to", bob["fingerprint"]), *where, "--json"
    )
    assert given.json["names"][0]["key"] == bob["fingerprint"]
    ended = await tunnel.ended()
    assert (ended.code, ended.lines[-1]["error"]["code"]) in [
        (4, "name-not-yours"),
        (9, "name-taken"),
    ]
    heir = await other.open(*words)
    assert (await get(heir.url, heir.bearer)).status == 200
    released = await stage.run("relay", "names", "release", "tools", *where, "--json")
    assert released.json == {"schema": "underpass/v1/relay-names", "released": "tools"}
    await heir.ended()
    mine = await stage.open(*words)
    assert (await get(mine.url, mine.bearer)).status == 200


async def test_sigterm_drains_a_request_in_flight_and_ends_with_0(stage: Stage, origin: HttpOrigin):
    relay = await stage.relay()
    tunnel = await stage.open(str(origin.port), *relay.link)
    asked = asyncio.create_task(
        get(f"{tunnel.url}/slow?head=1.5&parts=2&interval=0.3", tunnel.bearer)
    )
    await origin.arrivals.get()
    while origin.requests[-1].target == "/":
        await origin.arrivals.get()
    relay.send_signal(signal.SIGTERM)
    assert (await relay.event("draining"))["schema"] == "underpass/v1/relay"
    assert (await asked).status == 200
    assert (await relay.ended()).code == 0


async def test_health_and_metrics_have_a_listener_of_their_own(stage: Stage, free_port: int):
    metrics = f"127.0.0.1:{free_port}"
    relay = await stage.relay("--metrics-listen", metrics)
    assert (await get(f"http://{metrics}/healthz")).body == b"ok\n"
    page = (await get(f"http://{metrics}/metrics")).body.decode()
    assert "underpass_" in page
    assert (await get(f"{relay.url}/healthz")).status != 200
    assert (await get(f"{relay.url}/metrics")).status != 200


async def test_unknown_closed_and_expired_names_get_one_answer(stage: Stage, origin: HttpOrigin):
    relay = await stage.relay()
    closed = await stage.open(str(origin.port), "--name", "closed-one", *relay.link)
    await closed.stop()
    expired = await stage.open(
        str(origin.port), "--name", "expired-one", "--for", "2s", *relay.link
    )
    await expired.ended()
    answers = [
        await get(f"{relay.url}/x", host=f"{name}.localhost:{relay.port}")
        for name in ("never-was", "closed-one", "expired-one")
    ]
    assert {(each.status, each.code) for each in answers} == {(503, "no-such-tunnel")}
    assert len({(tuple(each.headers), each.body) for each in answers}) == 1


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0"])
async def test_a_development_relay_stays_on_this_machine(stage: Stage, listen: str):
    where = ("--listen", listen, "--state", str(stage.home / "relay"))
    done = await stage.run("relay", "serve", "--dev", *where, "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "relay-misconfigured")
    assert await stage.leftovers() == []
