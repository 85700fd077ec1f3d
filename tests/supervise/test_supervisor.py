"""Tunnels from opening to closing: what is told, what is left."""

from __future__ import annotations

import asyncio
import ssl
import sys
from typing import Any

import pytest
import trustme

from underpass.drivers.base import LinkPhase, LinkView
from underpass.model.errors_relay import (
    LeaseExpired,
    NameTaken,
    RelayUnreachable,
    Superseded,
)
from underpass.model.errors_run import NoSuchTunnel, OriginRefused, OriginSpeaksTls, ProofFailed
from underpass.model.lifecycle import TunnelState
from underpass.model.verdict import Layer
from underpass.prove.clock import SystemClock
from underpass.prove.schedule import LIVE_INTERVAL, MIN_GAP, RETRIES
from underpass.supervise.errors import ClosedWhileOpening, CommandNotFound, OriginEnded

edge = sys.modules["underpass_tests_edge"]

LOST = LinkView(LinkPhase.LOST, "link-lost")
ATTACHED = LinkView(LinkPhase.ATTACHED)
SERVE = (
    "import http.server, os, sys; "
    "print(os.environ['UNDERPASS_URL']); sys.stdout.flush(); "
    "http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), "
    "http.server.SimpleHTTPRequestHandler).serve_forever()"
)

Keep = Any


async def test_a_tunnel_is_opened_proved_and_closed(keep: Keep) -> None:
    kept = await keep()
    verdict = await kept.supervisor.open(5.0)
    assert verdict.ok
    assert await kept.visit() == 200
    await kept.supervisor.close()
    assert await kept.rest() == ["opened", "live", "closed"]
    assert kept.supervisor.status().state is TunnelState.CLOSED
    assert kept.engine.closed == 1
    assert kept.clock.timers == 0


async def test_no_url_is_told_before_a_proof_has_passed(keep: Keep) -> None:
    kept = await keep()
    await kept.supervisor.open(5.0)
    opened, live = await kept.wait_event("opened"), await kept.wait_event("live")
    assert opened["tunnel"]["url"] is None
    assert opened["tunnel"]["state"] == "proving"
    assert live["tunnel"]["url"] == kept.engine.edge.url
    assert live["tunnel"]["gates"] == ["bearer"]
    assert live["tunnel"]["engine"] == "loopback"
    assert live["verdict"]["ok"] is True


async def test_what_the_engine_refuses_for_good_is_raised_and_nothing_is_left(keep: Keep) -> None:
    kept = await keep()
    kept.engine.refusals = [NameTaken("tools")]
    with pytest.raises(NameTaken):
        await kept.supervisor.open(5.0)
    assert kept.supervisor.status().state is TunnelState.CLOSED
    assert await kept.rest() == ["closed"]


async def test_what_may_help_by_itself_is_waited_for(keep: Keep) -> None:
    kept = await keep()
    kept.engine.refusals = [RelayUnreachable("relay", "refused"), RelayUnreachable("relay", "no")]
    assert (await kept.supervisor.open(5.0)).ok
    assert kept.engine.opened == 3


async def test_the_last_refusal_is_raised_when_time_runs_out(keep: Keep) -> None:
    kept = await keep()
    kept.engine.refusals = [RelayUnreachable("relay", "refused") for _ in range(100_000)]
    with pytest.raises(RelayUnreachable):
        await kept.supervisor.open(0.1)
    assert kept.supervisor.status().state is TunnelState.CLOSED


async def test_an_origin_that_refuses_is_named_when_time_runs_out(keep: Keep, origin: Any) -> None:
    await origin.stop()
    kept = await keep()
    with pytest.raises(OriginRefused) as caught:
        await kept.supervisor.open(1.0)
    assert caught.value.exit_code == 5
    assert await kept.rest() == ["opened", "failing", "closed"]


async def test_an_origin_that_wants_tls_is_named_without_waiting(keep: Keep, origin: Any) -> None:
    await origin.stop()
    certificate = trustme.CA().issue_cert("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    server = edge.Server(origin.handler, tls=context)
    server.port = origin.port
    await server.start()
    kept = await keep()
    with pytest.raises(OriginSpeaksTls):
        await kept.supervisor.open(30.0)
    await server.stop()


async def test_a_layer_that_stays_broken_is_named_when_time_runs_out(keep: Keep) -> None:
    kept = await keep()
    kept.engine.edge.says = "no-such-tunnel"
    with pytest.raises(ProofFailed) as caught:
        await kept.supervisor.open(1.0)
    assert caught.value.layer == "relay"
    assert "tools" in caught.value.message


async def test_a_tunnel_closed_while_opening_says_so(keep: Keep) -> None:
    kept = await keep()
    kept.engine.edge.is_silent = True
    opening = asyncio.create_task(kept.supervisor.open(5.0))
    await kept.wait_event("opened")
    await kept.supervisor.close("asked to")
    with pytest.raises(ClosedWhileOpening, match="asked to"):
        await opening


async def test_a_tunnel_closed_before_its_engine_has_opened_is_not_carried(keep: Keep) -> None:
    kept = await keep()
    may_go_on, opens = asyncio.Event(), kept.engine.open

    async def open_slowly(*arguments: Any) -> Any:
        await may_go_on.wait()
        return await opens(*arguments)

    kept.engine.open = open_slowly
    opening = asyncio.create_task(kept.supervisor.open(5.0))
    await asyncio.sleep(0)
    await kept.supervisor.close("asked to")
    may_go_on.set()
    with pytest.raises(ClosedWhileOpening):
        await opening
    assert kept.engine.closed == 2
    assert await kept.rest() == ["closed"]


async def test_a_cancelled_opening_leaves_nothing(keep: Keep) -> None:
    kept = await keep()
    kept.engine.edge.is_silent = True
    opening = asyncio.create_task(kept.supervisor.open(5.0))
    await kept.wait_event("opened")
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert kept.supervisor.status().state is TunnelState.CLOSED
    assert await kept.rest() == ["closed"]


async def test_a_lost_link_is_told_and_its_return_proved(keep: Keep) -> None:
    kept = await keep()
    await kept.supervisor.open(5.0)
    kept.engine.say(LOST)
    assert kept.supervisor.status().state is TunnelState.FAILING
    kept.clock.advance(2.0)
    kept.engine.say(ATTACHED)
    kept.clock.advance(MIN_GAP)
    await kept.wait_event("live")  # the first one
    lost, failing = await kept.wait_event("link-lost"), await kept.wait_event("failing")
    assert lost["reason"] == "link-lost"
    assert failing["layer"] == "link"
    assert (await kept.wait_event("link-restored"))["away_seconds"] == pytest.approx(2.0)
    await kept.wait_event("live")


async def test_a_broken_layer_shows_in_the_status_and_heals(keep: Keep, origin: Any) -> None:
    kept = await keep()
    await kept.supervisor.open(5.0)
    await kept.wait_event("live")
    await origin.stop()
    kept.clock.advance(LIVE_INTERVAL)
    assert (await kept.wait_event("failing"))["layer"] == "origin"
    status = kept.supervisor.status()
    assert status.verdict is not None
    assert status.verdict.layer is Layer.ORIGIN
    assert status.url == kept.engine.edge.url
    await origin.start()
    kept.clock.advance(RETRIES[0])
    await kept.wait_event("live")


async def test_a_lease_that_ends_closes_the_tunnel(keep: Keep) -> None:
    kept = await keep("--for 1h")
    await kept.supervisor.open(5.0)
    kept.clock.advance(3600.0)
    assert await kept.supervisor.wait_closed() == "lease ended"
    events = await kept.rest()
    assert events[-2:] == ["lease-ended", "closed"]
    with pytest.raises(LeaseExpired):
        await kept.supervisor.renew(60)


async def test_the_end_that_the_public_side_grants_counts(keep: Keep) -> None:
    kept = await keep("--for 1h")
    kept.engine.granted = kept.clock.unix() + 60
    await kept.supervisor.open(5.0)
    assert kept.supervisor.status().lease.ends_at == kept.engine.granted
    kept.clock.advance(60.0)
    assert await kept.supervisor.wait_closed() == "lease ended"


async def test_a_wall_clock_that_jumps_ends_no_lease(keep: Keep) -> None:
    kept = await keep("--for 1h")
    await kept.supervisor.open(5.0)
    kept.clock.set_wall(40 * 86_400)
    kept.clock.advance(3500.0)
    assert not kept.supervisor.status().state.value.startswith("clos")


async def test_a_renewed_lease_lasts_longer(keep: Keep) -> None:
    kept = await keep("--for 1h")
    await kept.supervisor.open(5.0)
    kept.clock.advance(3000.0)
    status = await kept.supervisor.renew(7200)
    assert status.lease.ends_at == pytest.approx(kept.clock.unix() + 7200)
    assert (await kept.wait_event("lease-renewed"))["ends_at"] == status.lease.ends_at
    kept.clock.advance(7199.0)
    assert kept.supervisor.status().state is not TunnelState.CLOSING
    kept.clock.advance(1.0)
    assert await kept.supervisor.wait_closed() == "lease ended"


async def test_a_renewal_that_policy_forbids_changes_nothing(keep: Keep) -> None:
    def forbid(seconds: int) -> None:
        raise NoSuchTunnel(name="policy")

    kept = await keep("--for 1h", check_renewal=forbid)
    await kept.supervisor.open(5.0)
    ends_at = kept.supervisor.status().lease.ends_at
    with pytest.raises(NoSuchTunnel):
        await kept.supervisor.renew(7200)
    assert kept.supervisor.status().lease.ends_at == ends_at


async def test_an_idle_tunnel_closes_and_proofs_are_no_visitors(keep: Keep) -> None:
    kept = await keep("--idle 10m")
    await kept.supervisor.open(5.0)
    for _ in range(59):
        kept.clock.advance(10.0)
        await kept.supervisor.prove()
    assert kept.supervisor.status().state is TunnelState.LIVE
    kept.clock.advance(10.0)
    assert await kept.supervisor.wait_closed() == "idle limit reached"
    change = await kept.wait_event("lease-ended")
    assert change["idle"] is True


async def test_a_visitor_keeps_a_tunnel_from_being_idle(keep: Keep) -> None:
    kept = await keep("--idle 10m")
    await kept.supervisor.open(5.0)
    kept.clock.advance(300.0)
    assert await kept.visit() == 200
    kept.clock.advance(599.0)
    assert not kept.supervisor.status().state.value.startswith("clos")
    kept.clock.advance(1.0)
    assert await kept.supervisor.wait_closed() == "idle limit reached"


async def test_a_superseded_instance_stands_down_for_good(keep: Keep) -> None:
    kept = await keep()
    await kept.supervisor.open(5.0)
    kept.engine.say(LinkView(LinkPhase.ENDED, "superseded"))
    assert await kept.supervisor.wait_closed() == "superseded"
    assert (await kept.rest())[-2:] == ["superseded", "closed"]
    with pytest.raises(NoSuchTunnel):
        await kept.supervisor.renew(60)


async def test_an_instance_superseded_while_opening_says_so(keep: Keep) -> None:
    kept = await keep()
    kept.engine.edge.is_silent = True
    opening = asyncio.create_task(kept.supervisor.open(5.0))
    await kept.wait_event("opened")
    kept.engine.say(LinkView(LinkPhase.ENDED, "superseded"))
    with pytest.raises(Superseded):
        await opening


async def test_a_proof_asked_for_shows_what_is_wrong_now(keep: Keep) -> None:
    kept = await keep()
    await kept.supervisor.open(5.0)
    kept.engine.edge.says = "connector-away"
    verdict = await kept.supervisor.prove()
    assert verdict.layer is Layer.LINK
    assert kept.supervisor.status().state is TunnelState.FAILING


async def test_an_engine_that_cannot_close_keeps_nothing_else_open(
    keep: Keep, caplog: pytest.LogCaptureFixture
) -> None:
    kept = await keep()
    await kept.supervisor.open(5.0)
    await kept.engine.edge.stop()

    async def fail() -> None:
        raise RuntimeError("stuck")

    kept.engine.close = fail
    await kept.supervisor.close()
    assert kept.supervisor.status().state is TunnelState.CLOSED
    assert "closing the engine failed" in caplog.text


async def test_closing_twice_at_once_is_closing_once(keep: Keep) -> None:
    kept = await keep()
    await kept.supervisor.open(5.0)
    await asyncio.gather(kept.supervisor.close(), kept.supervisor.close())
    assert kept.engine.closed == 1
    assert (await kept.rest()).count("closed") == 1


async def test_reach_is_told_what_it_needs(keep: Keep) -> None:
    kept = await keep(reach={"relay": "http://127.0.0.1:1", "ca": None, "fingerprint": None})
    assert kept.supervisor.reach_info() == {
        "name": "tools",
        "relay": "http://127.0.0.1:1",
        "ca": None,
        "fingerprint": None,
    }


async def test_the_origin_is_started_with_the_url_and_ends_with_the_tunnel(
    keep: Keep, origin: Any
) -> None:
    await origin.stop()
    command = (sys.executable, "-c", SERVE, str(origin.port))
    kept = await keep(command=command, clock=SystemClock())
    await kept.supervisor.open(20.0)
    assert kept.supervisor.origin_exit_code is None
    assert await kept.visit() == 200
    await kept.supervisor.close()
    assert kept.supervisor.origin_exit_code == 143
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", origin.port)


async def test_an_origin_process_that_ends_closes_the_tunnel(keep: Keep) -> None:
    kept = await keep(command=(sys.executable, "-c", "import time; time.sleep(0.5); exit(7)"))
    await kept.supervisor.open(20.0)
    assert "exit code 7" in await kept.supervisor.wait_closed()
    assert kept.supervisor.origin_exit_code == 7


async def test_an_origin_process_that_ends_before_the_proof_fails_the_opening(keep: Keep) -> None:
    kept = await keep(command=(sys.executable, "-c", "exit(7)"))
    kept.engine.edge.is_silent = True
    with pytest.raises(OriginEnded) as caught:
        await kept.supervisor.open(20.0)
    assert caught.value.status == 7
    assert kept.supervisor.status().state is TunnelState.CLOSED


async def test_a_command_that_is_not_there_fails_the_opening(keep: Keep) -> None:
    kept = await keep(command=("no-such-program-anywhere",))
    with pytest.raises(CommandNotFound):
        await kept.supervisor.open(20.0)
    assert kept.engine.closed == 1
