"""A visitor's connection: many requests, no patience with some, and how one is missed."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from underpass.relay.edges.ports import EdgeEvent
from underpass.relay.edges.visitor import Phase

# -- pipelining -----------------------------------------------------------------------------------


async def test_pipelined_requests_are_answered_one_after_another_in_order(street) -> None:
    caller = await street.call()
    caller.say(b"".join(b"GET /%d HTTP/1.1\r\nHost: demo.test\r\n\r\n" % n for n in range(40)))
    for turn in range(40):
        far = await street.tunnel.accept()
        assert (await far.head()).target == b"/%d" % turn
        assert street.tunnel.untouched
        far.answer(200, b"%d" % turn)
    for turn in range(40):
        assert (await caller.answer())[2] == b"%d" % turn


async def test_nothing_more_is_read_while_pipelined_requests_wait(street) -> None:
    caller = await street.call()
    await caller.get("/first")
    first = await street.tunnel.accept()
    request = (
        b"POST /next HTTP/1.1\r\nHost: demo.test\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000
    )
    caller.writer.transport.set_write_buffer_limits(high=0)
    for _ in range(20_000):
        caller.say(request)
        if caller.writer.transport.get_write_buffer_size():
            break
    else:
        raise AssertionError("everything was read")
    assert street.tunnel.untouched
    first.answer(200, b"one")
    assert (await caller.answer())[2] == b"one"
    assert (await (await street.tunnel.accept()).head()).target == b"/next"


async def test_a_request_that_follows_a_body_in_one_segment_waits_its_turn(street) -> None:
    caller = await street.call()
    caller.say(b"POST /a HTTP/1.1\r\nHost: demo.test\r\nContent-Length: 4\r\n\r\nab")
    far = await street.tunnel.accept()
    await far.bytes_up_to(2)
    caller.say(
        b"cdPOST /b HTTP/1.1\r\nHost: demo.test\r\nConnection: close\r\nContent-Length: 2\r\n\r\ne"
    )
    assert await far.body() == b"abcd"
    assert street.tunnel.untouched
    far.answer(200, b"first")
    assert (await caller.answer())[2] == b"first"
    second = await street.tunnel.accept()
    caller.say(b"f")
    assert await second.body() == b"ef"
    second.answer(200, b"second")
    _, fields, body = await caller.answer()
    assert (fields["connection"], body) == ("close", b"second")
    assert await caller.closed()


async def test_many_refusals_in_one_segment_are_all_said(street) -> None:
    caller = await street.call()
    caller.say(b"GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n" * 100)
    for _ in range(100):
        assert (await caller.answer())[0] == 503
    await caller.get()
    (await street.tunnel.accept()).answer(200, b"")
    assert (await caller.answer())[0] == 200


# -- which tunnel ---------------------------------------------------------------------------------


async def test_unknown_closed_and_unfit_names_get_one_identical_answer(street, make_tunnel) -> None:
    street.names.hosts |= {
        "tcp.test": make_tunnel(kind="tcp"),
        "own.test": make_tunnel(tls="passthrough"),
    }
    answers = set()
    for host in ("nobody.test", "tcp.test", "own.test", "relay.example.com", "127.0.0.1"):
        caller = await street.call()
        await caller.get(host=host, extra="Connection: close\r\n")
        answers.add(await caller.rest())
    assert len(answers) == 1
    (only,) = answers
    assert only.startswith(b"HTTP/1.1 503 ")
    assert b"Underpass-Error: no-such-tunnel\r\n" in only
    assert b"nobody" not in only


async def test_a_port_of_its_own_takes_only_its_own_hosts(street) -> None:
    loop = asyncio.get_running_loop()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = await loop.create_server(lambda: street.edge.connection(None, port), sock=listener)
    shared, street.port = street.port, port
    caller = await street.call()
    for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
        await caller.get(host=host)
        assert (await caller.answer())[0] == 503, "nobody owns the port yet"
    street.names.ports[port] = street.tunnel
    for host in (f"127.0.0.1:{port}", f"LocalHost:{port}", f"demo.localhost:{port}"):
        await caller.get(host=host)
        (await street.tunnel.accept()).answer(200, b"")
        assert (await caller.answer())[0] == 200
    for host in (
        f"evil.test:{port}",
        "127.0.0.1",
        f"127.0.0.1:{shared}",
        f"127.0.0.2:{port}",
        f"other.localhost:{port}",
        f"demo.localhost.evil.test:{port}",
        f"[::1]:{port}",
    ):
        await caller.get(host=host)
        status, fields, _ = await caller.answer()
        assert (status, fields["underpass-error"]) == (421, "host-misdirected"), host
    server.close()


async def test_addresses_outside_the_allowed_networks_are_refused_at_the_edge(street) -> None:
    street.tunnel.allow = ("10.0.0.0/8",)
    caller = await street.call()
    await caller.get()
    status, fields, _ = await caller.answer()
    assert (status, fields["underpass-error"]) == (403, "gate-refused")
    assert street.tunnel.untouched
    await caller.get(extra="Underpass-Proof: v1.whatever\r\n")
    (await street.tunnel.accept()).answer(403, b"", [(b"Underpass-Error", b"gate-refused")])
    assert (await caller.answer())[0] == 403, "proofs are the gatehouse's to judge"
    street.tunnel.allow = ("10.0.0.0/8", "127.0.0.0/8")
    await caller.get()
    (await street.tunnel.accept()).answer(200, b"")
    assert (await caller.answer())[0] == 200


# -- nobody there ---------------------------------------------------------------------------------


async def test_a_new_request_is_held_until_a_connector_comes(street, wait_until) -> None:
    street.tunnel.lose_lane()
    caller = await street.call()
    caller.say(b"POST / HTTP/1.1\r\nHost: demo.test\r\nContent-Length: 10\r\n\r\nhello")
    await wait_until(lambda: street.edge.busy)
    caller.say(b"world")
    await street.tunnel.attach()
    far = await street.tunnel.accept()
    assert await far.body() == b"helloworld"
    far.answer(200, b"at last")
    assert (await caller.answer())[2] == b"at last"


async def test_a_request_nobody_takes_is_a_503_and_the_connection_lives(street) -> None:
    street.tunnel.lose_lane()
    caller = await street.call()
    await caller.get()
    status, fields, _ = await caller.answer()
    assert (status, fields["underpass-error"]) == (503, "connector-away")
    assert int(fields["retry-after"]) > 0
    assert EdgeEvent.AWAY in street.tunnel.events
    await street.tunnel.attach()
    await caller.get()
    (await street.tunnel.accept()).answer(200, b"")
    assert (await caller.answer())[0] == 200


async def test_an_mcp_post_that_nobody_takes_gets_its_own_id_back(street, wait_until) -> None:
    street.tunnel.kind = "mcp"
    street.tunnel.lose_lane()
    caller = await street.call()
    body = json.dumps({"jsonrpc": "2.0", "id": "seven", "method": "tools/call"}).encode()
    caller.say(
        b"POST /mcp HTTP/1.1\r\nHost: demo.test\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    await wait_until(lambda: street.edge.busy)
    caller.say(body)
    status, fields, said = await caller.answer()
    assert (status, fields["content-type"]) == (503, "application/json")
    error = json.loads(said)
    assert (error["id"], error["error"]["data"]["code"]) == ("seven", "connector-away")


async def test_an_mcp_exchange_that_breaks_gets_its_own_id_back(street) -> None:
    street.tunnel.kind = "mcp"
    caller = await street.call()
    caller.say(
        b"POST /mcp HTTP/1.1\r\nHost: demo.test\r\nContent-Type: application/json\r\n"
        b'Content-Length: 8\r\n\r\n{"id":7}'
    )
    far = await street.tunnel.accept()
    await far.body()
    street.tunnel.lose_lane()
    status, _, said = await caller.answer()
    assert (status, json.loads(said)["id"]) == (503, 7)


async def test_a_key_at_its_stream_limit_is_told_to_come_back(street) -> None:
    street.tunnel.streams_left = 1
    first, second = await street.call(), await street.call()
    await first.get()
    far = await street.tunnel.accept()
    await second.get()
    status, fields, _ = await second.answer()
    assert (status, fields["underpass-error"]) == (503, "over-limit")
    assert "retry-after" in fields
    far.answer(200, b"")
    await first.answer()
    await second.get()
    (await street.tunnel.accept()).answer(200, b"")
    assert (await second.answer())[0] == 200


# -- hostile and slow -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET http://169.254.169.254/ HTTP/1.1\r\nHost: demo.test\r\n\r\n", 400),
        (b"GET //evil.test/ HTTP/1.1\r\nHost: demo.test\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: demo.test\r\nHost: other\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: demo.test\r\nContent-Length: 1\r\n"
         b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: demo.test\r\nX_Forwarded_For: 1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: demo.test\r\n folded: 1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: demo.test\n\n", 400),
        (b"CONNECT demo.test:443 HTTP/1.1\r\nHost: demo.test\r\n\r\n", 501),
        (b"GET /%s HTTP/1.1\r\nHost: demo.test\r\n\r\n" % (b"a" * 20000), 414),
        (b"GET / HTTP/1.1\r\nHost: demo.test\r\nX: %s\r\n\r\n" % (b"a" * 70000), 431),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ],
)  # fmt: skip
async def test_what_is_ambiguous_is_refused_and_never_reaches_a_tunnel(
    street, request_bytes: bytes, status: int
) -> None:
    caller = await street.call()
    caller.say(request_bytes + b"GET /smuggled HTTP/1.1\r\nHost: demo.test\r\n\r\n")
    found, fields = await caller.head()
    assert (found, fields["connection"]) == (status, "close")
    assert "underpass-error" in fields
    rest = await caller.rest()
    assert b"Underpass-Error" not in rest
    assert street.tunnel.untouched


@pytest.mark.parametrize(("size", "status"), [(60_000, 200), (65_500, 431)])
async def test_the_largest_heads_pass_or_are_refused_and_never_hurt_the_lane(
    street, size: int, status: int
) -> None:
    start = b"GET /large HTTP/1.1\r\nHost: demo.test\r\n"
    fields = b"".join(b"X-%02d: %s\r\n" % (n, b"v" * 600) for n in range(95))
    rest = size - len(start) - len(fields) - len(b"X-Last: \r\n\r\n")
    caller, other = await street.call(), await street.call()
    caller.say(start + fields + b"X-Last: %s\r\n\r\n" % (b"v" * rest))
    if status == 200:
        far = await street.tunnel.accept()
        assert len((await far.head()).headers) >= 96
        far.answer(200, b"")
    assert (await caller.answer())[0] == status
    await other.get("/other")
    (await street.tunnel.accept()).answer(200, b"still here")
    assert (await other.answer())[2] == b"still here"


async def test_trailers_too_large_for_a_lane_are_refused(street) -> None:
    caller = await street.call()
    trailers = b"".join(b"T%d: %s\r\n" % (n, b"v" * 647) for n in range(99))
    caller.say(
        b"POST / HTTP/1.1\r\nHost: demo.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
        + trailers
        + b"X: %s\r\n\r\n" % (b"v" * (65_530 - len(trailers) - 7))
    )
    assert (await caller.head())[0] == 431


async def test_a_body_that_breaks_is_missed_by_the_tunnel_and_refused(street) -> None:
    caller = await street.call()
    caller.say(b"POST / HTTP/1.1\r\nHost: demo.test\r\nTransfer-Encoding: chunked\r\n\r\n")
    far = await street.tunnel.accept()
    await far.head()
    caller.say(b"zz\r\n")
    assert (await caller.head())[0] == 400
    assert await far.gone() == "body-malformed"


async def test_a_dripping_head_is_cut_off_however_steadily_it_drips(street, wait_until) -> None:
    caller = await street.call()
    caller.say(b"GET / HTTP/1.1\r\n")
    await wait_until(lambda: any(one.phase == Phase.HEAD for one in street.edge.sweeper))
    street.sweep_later(9)
    caller.say(b"Host: demo.test\r\n")
    await asyncio.sleep(0.02)
    street.sweep_later(10.1)
    status, fields, _ = await caller.answer()
    assert (status, fields["underpass-error"]) == (408, "request-late")
    assert await caller.closed()


async def test_an_idle_connection_is_closed_without_a_word(street) -> None:
    silent, idle = await street.call(), await street.call()
    await idle.get()
    (await street.tunnel.accept()).answer(200, b"")
    await idle.answer()
    street.sweep_later(street.edge.limits.idle_seconds)
    assert await silent.closed()
    assert await idle.closed()


async def test_a_body_that_drips_is_cut_off_after_its_grace(street) -> None:
    caller = await street.call()
    caller.say(b"POST / HTTP/1.1\r\nHost: demo.test\r\nContent-Length: 100000\r\n\r\n")
    far = await street.tunnel.accept()
    await far.head()
    street.sweep_later(9)
    assert far.end_code is None
    street.sweep_later(10.5)
    assert (await caller.answer())[0] == 408
    assert await far.gone() == "request-late"


async def test_a_body_that_the_origin_slows_is_given_all_the_time(street, wait_until) -> None:
    street.tunnel.drain = False
    caller = await street.call()
    caller.say(b"POST / HTTP/1.1\r\nHost: demo.test\r\nContent-Length: 10000000\r\n\r\n")
    far = await street.tunnel.accept()
    caller.say(b"x" * 1_000_000)
    await far.bytes_up_to(60_000)
    await wait_until(lambda: not street.is_reading())
    street.sweep_later(500)
    await asyncio.sleep(0.02)
    assert far.end_code is None


async def test_a_visitor_that_takes_nothing_of_its_answer_has_left(street, wait_until) -> None:
    caller = await street.call()
    caller.writer.transport.pause_reading()
    await caller.get()
    far = await street.tunnel.accept()
    far.answer(200, None, end=False)
    await far.fill()
    await wait_until(lambda: any(one.writing_paused for one in street.edge.sweeper))
    await asyncio.sleep(0.1)
    street.sweep_later(29)
    await asyncio.sleep(0.02)
    assert far.stop_code is None
    street.sweep_later(31)
    assert await far.gone() == "visitor-left"


# -- departures -----------------------------------------------------------------------------------


async def test_a_reset_is_a_departure(street, wait_until) -> None:
    caller = await street.call()
    await caller.get()
    far = await street.tunnel.accept()
    await far.head()
    caller.reset()
    assert await far.gone() == "visitor-left"
    await wait_until(lambda: EdgeEvent.DEPARTED in street.tunnel.events)
    assert street.tunnel.streams_left == 1000


async def test_a_reset_is_noticed_while_nothing_is_read(street, wait_until) -> None:
    caller = await street.call()
    await caller.get("/one")
    far = await street.tunnel.accept()
    await caller.get("/two")
    await wait_until(lambda: not street.is_reading())
    caller.reset()
    assert await far.gone() == "visitor-left"


async def test_a_plain_half_close_still_gets_its_answer(street) -> None:
    caller = await street.call()
    await caller.get()
    far = await street.tunnel.accept()
    caller.writer.write_eof()
    await asyncio.sleep(0.1)
    far.answer(200, b"for you")
    assert (await caller.answer())[2] == b"for you"
    assert await caller.closed()


async def test_a_reset_after_a_half_close_is_noticed(street) -> None:
    caller = await street.call()
    await caller.get()
    far = await street.tunnel.accept()
    caller.writer.write_eof()
    await asyncio.sleep(0.02)
    caller.reset()
    assert await far.gone() == "visitor-left"


@pytest.mark.parametrize(
    ("kind", "extra"),
    [("mcp", ""), ("http", "Accept: text/html, Text/Event-Stream\r\n")],
    ids=["mcp", "event-stream"],
)
@pytest.mark.parametrize("paused", [False, True], ids=["reading", "paused"])
async def test_a_half_close_is_a_departure_where_nobody_half_closes(
    street, kind: str, extra: str, paused: bool, wait_until
) -> None:
    street.tunnel.kind = kind
    caller = await street.call()
    await caller.get(extra=extra)
    far = await street.tunnel.accept()
    await far.head()
    if paused:
        await caller.get("/ahead")
        await wait_until(lambda: not street.is_reading())
    caller.writer.write_eof()
    assert await far.gone() == "visitor-left"


async def test_the_end_of_the_connection_within_a_body_is_a_departure(street) -> None:
    caller = await street.call()
    caller.say(b"POST / HTTP/1.1\r\nHost: demo.test\r\nContent-Length: 10\r\n\r\nhalf")
    far = await street.tunnel.accept()
    await far.bytes_up_to(4)
    caller.writer.write_eof()
    assert await far.gone() == "visitor-left"
    assert far.end_code == "visitor-left"


async def test_a_visitor_that_leaves_while_it_is_held_is_forgotten(street, wait_until) -> None:
    street.tunnel.lose_lane()
    caller = await street.call()
    await caller.get()
    await wait_until(lambda: street.edge.busy)
    caller.reset()
    await wait_until(lambda: not len(street.edge.sweeper))
    await street.tunnel.attach()
    await asyncio.sleep(0.02)
    assert street.tunnel.untouched


# -- event streams --------------------------------------------------------------------------------


async def test_a_silent_event_stream_gets_a_comment_between_its_events(street) -> None:
    caller = await street.call()
    await caller.get()
    far = await street.tunnel.accept()
    far.answer(200, None, [(b"Content-Type", b"text/event-stream")], end=False)
    await caller.head()
    far.say(b"data: 1\n\n")
    assert await caller.exactly(14) == b"9\r\ndata: 1\n\n\r\n"
    street.sweep_later(14)
    street.sweep_later(15)
    assert await caller.exactly(8) == b"3\r\n:\n\n\r\n"
    far.say(b"data: 2\n")
    assert await caller.exactly(13) == b"8\r\ndata: 2\n\r\n"
    street.sweep_later(20)
    far.say(b"\n")
    assert await caller.exactly(6) == b"1\r\n\n\r\n", "no comment stood within an event"


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ([(b"Content-Type", b"text/plain")], None),
        ([(b"Content-Type", b"text/event-stream"), (b"Content-Encoding", b"gzip")], None),
        ([(b"Content-Type", b"text/event-stream")], 20),
    ],
    ids=["no event stream", "encoded", "sized"],
)
async def test_no_comment_where_it_would_hurt(street, headers, length) -> None:
    caller = await street.call()
    await caller.get()
    far = await street.tunnel.accept()
    far.answer(200, None if length is None else b"", headers, length=length, end=False)
    await caller.head()
    street.sweep_later(20)
    far.say(b"x" * 20, end=True)
    body = await caller.rest_of_chunks() if length is None else await caller.exactly(20)
    assert body == b"x" * 20


# -- other protocols ------------------------------------------------------------------------------

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: demo.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def test_an_upgraded_connection_carries_bytes_both_ways(street) -> None:
    caller = await street.call()
    caller.say(UPGRADE)
    far = await street.tunnel.accept()
    assert (await far.head()).upgrade == b"websocket"
    far.answer(101, b"", upgrade=b"websocket", end=False)
    status, fields = await caller.head()
    assert (status, fields["upgrade"].lower()) == (101, "websocket")
    caller.say(b"GET / HTTP/1.1 is only bytes now\r\n\r\n")
    assert await far.bytes_up_to(35) == b"GET / HTTP/1.1 is only bytes now\r\n\r\n"
    far.say(b"\x00\xff bytes")
    assert await caller.exactly(8) == b"\x00\xff bytes"
    far.stream.send_end()
    assert await caller.closed()


async def test_bytes_that_come_before_the_answer_to_an_upgrade_are_kept(street) -> None:
    caller = await street.call()
    caller.say(UPGRADE + b"early")
    far = await street.tunnel.accept()
    caller.say(b" bird")
    await asyncio.sleep(0.02)
    assert not far.received
    far.answer(101, b"", upgrade=b"websocket", end=False)
    assert await far.bytes_up_to(10) == b"early bird"


async def test_a_refused_upgrade_goes_on_as_http(street) -> None:
    caller = await street.call()
    caller.say(UPGRADE + b"GET /next HTTP/1.1\r\nHost: demo.test\r\n\r\n")
    far = await street.tunnel.accept()
    far.answer(426, b"no")
    assert await far.body() == b""
    assert (await caller.answer())[2] == b"no"
    second = await street.tunnel.accept()
    assert (await second.head()).target == b"/next"
    second.answer(200, b"yes")
    assert (await caller.answer())[2] == b"yes"


async def test_a_websocket_visitor_that_closes_is_missed(street) -> None:
    caller = await street.call()
    caller.say(UPGRADE)
    far = await street.tunnel.accept()
    far.answer(101, b"", upgrade=b"websocket", end=False)
    await caller.head()
    caller.say(b"goodbye")
    caller.writer.write_eof()
    assert await far.gone() == "visitor-left"
    assert far.end_code is None, "what was said before the end is not dropped"
    assert await far.body() == b"goodbye"


async def test_a_websocket_visitor_that_closes_before_the_answer_is_missed(street) -> None:
    caller = await street.call()
    caller.say(UPGRADE)
    far = await street.tunnel.accept()
    await far.head()
    caller.writer.write_eof()
    assert await far.gone() == "visitor-left"


async def test_a_cut_websocket_ends_with_a_reset(street) -> None:
    caller = await street.call()
    caller.say(UPGRADE)
    far = await street.tunnel.accept()
    far.answer(101, b"", upgrade=b"websocket", end=False)
    await caller.head()
    far.stream.abort("lane-lost")
    with pytest.raises(ConnectionResetError):
        await caller.rest()


async def test_an_answer_that_changes_the_protocol_unasked_is_a_502(street) -> None:
    caller = await street.call()
    await caller.get()
    (await street.tunnel.accept()).answer(101, b"", upgrade=b"websocket", end=False)
    assert (await caller.answer())[0] == 502


# -- bulk -----------------------------------------------------------------------------------------


async def test_large_bodies_arrive_whole_both_ways(street) -> None:
    caller = await street.call()
    sent = bytes(range(256)) * 20_000
    caller.say(b"PUT / HTTP/1.1\r\nHost: demo.test\r\nContent-Length: %d\r\n\r\n" % len(sent))
    caller.say(sent)
    far = await street.tunnel.accept()
    assert await far.body() == sent
    far.answer(200, None, end=False)
    far.stream.send_data(sent)
    far.stream.send_end()
    await caller.head()
    assert await caller.rest_of_chunks() == sent


async def test_a_slow_origin_stops_the_visitor(street, wait_until) -> None:
    street.tunnel.drain = False
    caller = await street.call()
    caller.say(b"PUT / HTTP/1.1\r\nHost: demo.test\r\nContent-Length: 50000000\r\n\r\n")
    far = await street.tunnel.accept()
    caller.say(b"x" * 50_000_000)
    await far.bytes_up_to(60_000)
    await wait_until(lambda: not street.is_reading())
    assert len(far.received) <= 300_000
    far.drain = True
    far.stream.drained(len(far.received))
    assert len(await far.body()) == 50_000_000
