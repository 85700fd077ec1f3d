"""One request and its answer, through a real socket and a real lane."""

from __future__ import annotations

import asyncio

from underpass.http.messages import UNKNOWN_LENGTH, decode_trailers, lookup
from underpass.relay.edges.ports import EdgeEvent


async def test_a_small_request_is_one_open_and_its_answer_comes_back(street) -> None:
    caller = await street.call()
    caller.say(
        b"POST /a?b=c HTTP/1.1\r\nHost: demo.test\r\nX-One: 1\r\nContent-Length: 5\r\n\r\nhello"
    )
    far = await street.tunnel.accept()
    head = await far.head()
    assert (head.method, head.target, head.host, head.body) == (b"POST", b"/a?b=c", b"demo.test", 5)
    assert lookup(head.headers, b"x-one") == b"1"
    assert await far.body() == b"hello"
    far.answer(201, b"world", [(b"X-Two", b"2")])
    status, fields, body = await caller.answer()
    assert (status, fields["x-two"], body) == (201, "2", b"world")
    assert "connection" not in fields
    assert street.tunnel.events == [EdgeEvent.REQUEST]
    assert street.tunnel.streams_left == 1000


async def test_a_connection_carries_one_request_after_another(street) -> None:
    caller = await street.call()
    for turn in range(3):
        await caller.get(f"/{turn}")
        far = await street.tunnel.accept()
        assert (await far.head()).target == b"/%d" % turn
        far.answer(200, b"answer %d" % turn)
        assert (await caller.answer())[2] == b"answer %d" % turn


async def test_what_a_visitor_claims_about_itself_is_replaced(street) -> None:
    caller = await street.call()
    await caller.get(
        extra="X-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n"
        "X-Forwarded-Host: evil\r\nUnderpass-Peer: 6.6.6.6\r\n"
    )
    far = await street.tunnel.accept()
    headers = (await far.head()).headers
    assert b"6.6.6.6" not in b"".join(value for _, value in headers)
    assert lookup(headers, b"x-forwarded-for") == b"127.0.0.1"
    assert lookup(headers, b"x-forwarded-proto") == b"http"
    assert lookup(headers, b"x-forwarded-host") == b"demo.test"
    assert far.peer[0] == "127.0.0.1"


async def test_body_parts_are_passed_on_as_they_come(street) -> None:
    caller = await street.call()
    caller.say(b"POST / HTTP/1.1\r\nHost: demo.test\r\nTransfer-Encoding: chunked\r\n\r\n")
    far = await street.tunnel.accept()
    assert (await far.head()).body == UNKNOWN_LENGTH
    caller.say(b"3\r\none\r\n")
    assert await far.bytes_up_to(3) == b"one"
    caller.say(b"3\r\ntwo\r\n0\r\nX-Sum: 6\r\n\r\n")
    assert await far.body() == b"onetwo"
    assert far.trailers is not None
    assert decode_trailers(far.trailers) == [(b"X-Sum", b"6")]


async def test_answer_parts_and_trailers_are_passed_on_as_they_come(street) -> None:
    caller = await street.call()
    await caller.get(extra="TE: trailers\r\n")
    far = await street.tunnel.accept()
    far.answer(200, None, end=False)
    status, fields = await caller.head()
    assert (status, fields["transfer-encoding"]) == (200, "chunked")
    far.say(b"first")
    assert await caller.exactly(10) == b"5\r\nfirst\r\n"
    far.say(b"second")
    assert await caller.exactly(11) == b"6\r\nsecond\r\n"
    far.trail([(b"X-Sum", b"7")])
    assert await caller.exactly(15) == b"0\r\nX-Sum: 7\r\n\r\n"
    await caller.get("/next")
    assert (await (await street.tunnel.accept()).head()).target == b"/next"


async def test_expect_continue_is_answered_by_the_origin(street) -> None:
    caller = await street.call()
    caller.say(
        b"PUT / HTTP/1.1\r\nHost: demo.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    )
    far = await street.tunnel.accept()
    assert (await far.head()).expect_continue
    far.answer(100)
    assert (await caller.head())[0] == 100
    caller.say(b"body")
    assert await far.body() == b"body"
    far.answer(204)
    assert (await caller.head())[0] == 204


async def test_an_answer_before_the_body_ends_the_connection_without_a_reset(street) -> None:
    caller = await street.call()
    caller.say(b"PUT / HTTP/1.1\r\nHost: demo.test\r\nContent-Length: 400000\r\n\r\nstart")
    far = await street.tunnel.accept()
    await far.bytes_up_to(5)
    far.answer(413, b"too much")
    caller.say(b"more" * 5000)
    status, fields, body = await caller.answer()
    assert (status, fields["connection"], body) == (413, "close", b"too much")
    assert await caller.closed()
    assert await far.gone() == "answered"


async def test_an_answer_to_head_has_a_length_and_no_body(street) -> None:
    caller = await street.call()
    caller.say(b"HEAD / HTTP/1.1\r\nHost: demo.test\r\n\r\n")
    far = await street.tunnel.accept()
    far.answer(200, b"", length=1234)
    status, fields = await caller.head()
    assert (status, fields["content-length"]) == (200, "1234")
    await caller.get("/next")
    assert (await (await street.tunnel.accept()).head()).target == b"/next"


async def test_an_http10_visitor_gets_an_answer_that_the_close_ends(street) -> None:
    caller = await street.call()
    caller.say(b"GET / HTTP/1.0\r\nHost: demo.test\r\n\r\n")
    far = await street.tunnel.accept()
    assert (await far.head()).http10
    far.answer(103)
    far.answer(200, None, end=False)
    far.say(b"all of it", end=True)
    status, fields = await caller.head()
    assert (status, fields["connection"]) == (200, "close")
    assert "transfer-encoding" not in fields
    assert await caller.rest() == b"all of it"


async def test_an_http10_visitor_may_keep_its_connection(street) -> None:
    caller = await street.call()
    for _ in range(2):
        caller.say(b"GET / HTTP/1.0\r\nHost: demo.test\r\nConnection: keep-alive\r\n\r\n")
        (await street.tunnel.accept()).answer(200, b"ok")
        status, fields, body = await caller.answer()
        assert (status, fields["connection"], body) == (200, "keep-alive", b"ok")


async def test_an_answer_cut_short_in_http10_ends_with_a_reset(street) -> None:
    caller = await street.call()
    caller.say(b"GET / HTTP/1.0\r\nHost: demo.test\r\n\r\n")
    far = await street.tunnel.accept()
    far.answer(200, None, end=False)
    far.say(b"half of")
    await caller.head()
    assert await caller.exactly(7) == b"half of"
    far.stream.abort("origin-incomplete")
    try:
        async with asyncio.timeout(5):
            await caller.reader.read()
    except ConnectionResetError:
        return
    raise AssertionError("the cut answer looks complete")


async def test_a_stream_broken_before_the_head_is_a_503_and_the_connection_lives(street) -> None:
    caller = await street.call()
    await caller.get()
    (await street.tunnel.accept()).stream.abort("origin-away")
    status, fields, _ = await caller.answer()
    assert (status, fields["underpass-error"]) == (503, "origin-away")
    assert "retry-after" in fields
    await caller.get()
    (await street.tunnel.accept()).answer(200, b"ok")
    assert (await caller.answer())[0] == 200


async def test_a_lost_lane_is_a_503_before_the_head_and_a_cut_after_it(street) -> None:
    early, late = await street.call(), await street.call()
    await early.get("/early")
    await (await street.tunnel.accept()).head()
    await late.get("/late")
    far = await street.tunnel.accept()
    far.answer(200, None, end=False)
    far.say(b"part")
    assert (await late.head())[0] == 200
    assert await late.exactly(9) == b"4\r\npart\r\n"
    street.tunnel.lose_lane()
    status, fields, _ = await early.answer()
    assert (status, fields["underpass-error"]) == (503, "lane-lost")
    assert await late.closed()


async def test_far_codes_never_become_a_4xx(street) -> None:
    caller = await street.call()
    await caller.get()
    (await street.tunnel.accept()).stream.abort("request-malformed")
    assert (await caller.answer())[0] == 503


async def test_an_answer_longer_than_its_head_says_is_cut(street) -> None:
    caller = await street.call()
    await caller.get()
    far = await street.tunnel.accept()
    far.answer(200, b"", length=4, end=False)
    far.say(b"12345")
    status, _ = await caller.head()
    assert status == 200
    assert await caller.rest() == b""
    assert await far.gone() == "broken"


async def test_a_head_that_hides_a_second_answer_is_a_502(street) -> None:
    caller = await street.call()
    await caller.get()
    far = await street.tunnel.accept()
    far.answer(200, b"x", [(b"X-A", b"1\r\nSet-Cookie: evil=1")])
    status, fields, _ = await caller.answer()
    assert (status, fields["underpass-error"]) == (502, "origin-malformed")
    assert "set-cookie" not in fields


async def test_a_slow_visitor_stops_the_stream_and_not_the_lane(street) -> None:
    street.tunnel.drain = False
    slow, quick = await street.call(), await street.call()
    slow.writer.transport.pause_reading()
    await slow.get("/slow")
    far = await street.tunnel.accept()
    far.answer(200, None, end=False)
    sent = await far.fill()
    assert sent < 64 * 1024 * 1024
    await quick.get("/quick")
    (await street.tunnel.accept()).answer(200, b"here")
    assert (await quick.answer())[2] == b"here"
    slow.writer.transport.resume_reading()
    far.stream.send_end()
    await slow.head()
    body = await slow.rest_of_chunks()
    assert len(body) == sent
