"""One port for everything: who is called, told from the first bytes that come."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl

import pytest

from underpass.relay.edges.addresses import SourceCap
from underpass.relay.edges.certificates import CertificateUnusable, load_certificate
from underpass.relay.edges.limits import EdgeLimits
from underpass.relay.edges.peek import Peek
from underpass.relay.protocol.reach import ReachAnswer, ReachChannel, ReachHello, greeting

ASK = b"GET / HTTP/1.1\r\nHost: demo.relay.test\r\n\r\n"


async def test_a_visitor_over_tls_reaches_its_tunnel(house) -> None:
    port = await house.listen(tls=True)
    caller = await house.call(port, name="demo.relay.test")
    assert caller.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    caller.say(ASK)
    far = await house.tunnel.accept()
    assert dict((await far.head()).headers)[b"X-Forwarded-Proto"] == b"https"
    assert far.stream.secure
    far.answer(200, b"hello")
    assert (await caller.answer())[2] == b"hello"


async def test_a_link_over_tls_is_handed_over_with_the_hash_of_the_leaf(house) -> None:
    port = await house.listen(tls=True)
    caller = await house.call(port, name="relay.test", alpn=("underpass/1",))
    tls = caller.writer.get_extra_info("ssl_object")
    assert (tls.version(), tls.selected_alpn_protocol()) == ("TLSv1.3", "underpass/1")
    link = await house.links.next()
    assert link.certificate == hashlib.sha256(tls.getpeercert(binary_form=True)).digest()
    caller.say(b"frames")
    assert await caller.exactly(6) == b"frames"


async def test_the_certificate_is_changed_without_a_restart(house) -> None:
    port = await house.listen(tls=True)
    old = await house.call(port, name="relay.test", alpn=("underpass/1",))
    first = (await house.links.next()).certificate
    house.door.certificate = house.renew_certificate()
    await house.call(port, name="relay.test", alpn=("underpass/1",))
    assert (await house.links.next()).certificate != first
    old.say(b"still here")
    assert await old.exactly(10) == b"still here"


async def test_a_certificate_that_cannot_be_loaded_says_why(house, tmp_path) -> None:
    house.renew_certificate()
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(CertificateUnusable) as caught:
        load_certificate(tmp_path / "chain.pem", tmp_path / "key.pem")
    assert str(tmp_path / "chain.pem") in caught.value.message
    with pytest.raises(CertificateUnusable, match="No such file"):
        load_certificate(tmp_path / "none.pem", tmp_path / "key.pem")


async def test_host_and_server_name_must_agree(house) -> None:
    port = await house.listen(tls=True)
    house.names.hosts["other.relay.test"] = house.tunnel
    caller = await house.call(port, name="other.relay.test")
    caller.say(ASK)
    assert (await caller.answer())[0] == 421
    caller.say(b"GET / HTTP/1.1\r\nHost: OTHER.relay.test:443\r\n\r\n")
    (await house.tunnel.accept()).answer(200, b"")
    assert (await caller.answer())[0] == 200


async def test_a_passed_through_name_keeps_its_tls(house) -> None:
    house.tunnel.tls = "passthrough"
    port = await house.listen(tls=True)
    calling = asyncio.create_task(house.call(port, name="demo.relay.test"))
    far = await house.tunnel.accept()
    assert (far.kind, far.stream.secure) == ("tls", False)
    hello = await far.bytes_up_to(100)
    assert hello.startswith(b"\x16\x03")
    far.say(b"\x15\x03\x03\x00\x02\x02\x28", end=True)  # a fatal alert: handshake_failure
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await calling


async def test_a_client_hello_in_many_segments_is_understood(house) -> None:
    port = await house.listen(tls=True)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = house.client_context("http/1.1").wrap_bio(
        incoming, outgoing, server_hostname="demo.relay.test"
    )
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    caller = await house.call(port)
    hello = outgoing.read()
    for at in range(0, len(hello), 60):
        caller.say(hello[at : at + 60])
        await asyncio.sleep(0)
    async with asyncio.timeout(2):
        incoming.write(await caller.reader.read(65536))
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            incoming.write(await caller.reader.read(65536))
    caller.say(outgoing.read())
    tls.write(ASK)
    caller.say(outgoing.read())
    assert (await (await house.tunnel.accept()).head()).host == b"demo.relay.test"


async def test_early_wake_ups_are_neither_an_end_nor_a_busy_loop(house, monkeypatch) -> None:
    # As under memory pressure, when Linux ignores SO_RCVLOWAT.
    monkeypatch.setattr(Peek, "_wait_for", lambda self, count: None)
    looks = 0
    look = Peek._look

    def counted(self: Peek) -> None:
        nonlocal looks
        looks += 1
        look(self)

    monkeypatch.setattr(Peek, "_look", counted)
    caller = await house.call(await house.listen(tls=True))
    caller.say(b"\x16\x03\x01")
    await asyncio.sleep(0.1)
    assert 2 < looks < 12
    caller.say(b"\xff\xff")
    assert await caller.closed()


async def test_a_visitor_that_ends_within_its_client_hello_is_let_go(house, wait_until) -> None:
    caller = await house.call(await house.listen(tls=True))
    caller.say(b"\x16\x03\x01")
    caller.writer.write_eof()
    assert await caller.closed()
    assert not len(house.door.sweeper)


@pytest.mark.parametrize(
    "opening",
    [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\xff\xff\x01\x00", b"\x16\x03\x01\x00\x05\x02\0\0\1\0"],
    ids=["http", "too-large", "no-client-hello"],
)
async def test_what_is_no_client_hello_is_closed_at_once(house, opening: bytes) -> None:
    port = await house.listen(tls=True)
    caller = await house.call(port)
    caller.say(opening)
    assert await caller.closed()
    assert not len(house.door.sources)


async def test_a_client_hello_that_drips_is_cut_off(house, wait_until) -> None:
    port = await house.listen(tls=True)
    caller = await house.call(port)
    caller.say(b"\x16\x03\x01")
    await wait_until(lambda: len(house.door.sweeper))
    house.door.sweeper.sweep(asyncio.get_running_loop().time() + 10)
    assert await caller.closed()


async def test_a_failed_handshake_leaves_nothing_behind(house, wait_until) -> None:
    port = await house.listen(tls=True)
    house.door.certificate.visitors.minimum_version = ssl.TLSVersion.TLSv1_3
    context = house.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="a.relay.test"
        )
    await wait_until(lambda: not len(house.door.sources))


async def test_the_plain_port_tells_links_reach_and_http_apart(house) -> None:
    port = await house.listen()
    link = await house.call(port)
    link.say(b"UPLI")
    await asyncio.sleep(0.01)
    link.say(b"NK1\nframes")
    accepted = await house.links.next()
    assert accepted.certificate == b""
    assert await link.exactly(6) == b"frames"
    visitor = await house.call(port)
    visitor.say(b"U")
    await asyncio.sleep(0.01)
    visitor.say(b"NLOCK / HTTP/1.1\r\nHost: demo.relay.test\r\n\r\n")
    assert (await (await house.tunnel.accept()).head()).method == b"UNLOCK"
    reach = await house.call(port)
    reach.say(b"UREACH1\n" + greeting(ReachHello(name="none", token="t")))
    (answer,) = ReachChannel().receive_data(await reach.rest())
    assert isinstance(answer, ReachAnswer)
    assert (answer.ok, answer.code) == (False, "no-such-tunnel")


async def test_a_plain_link_from_elsewhere_is_refused(house) -> None:
    machine = socket.gethostbyname(socket.gethostname())
    if machine.startswith("127."):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(("192.0.2.1", 9))
            except OSError:
                pytest.skip("this machine has no address but loopback")
            machine = probe.getsockname()[0]
    listener = socket.socket()
    listener.bind((machine, 0))
    port = await house.door.open_public(listener)
    reader, writer = await asyncio.open_connection(machine, port)
    writer.write(b"UPLINK1\nframes")
    try:
        assert await asyncio.wait_for(reader.read(), 2) == b""
    except ConnectionResetError:
        pass
    writer.close()
    assert house.links.accepted.empty()


async def test_a_source_may_hold_only_so_many_connections(house) -> None:
    capped = SourceCap(2)
    house.door.sources = house.door.http.sources = capped
    port = await house.listen()
    first, second, third = [await house.call(port) for _ in range(3)]
    assert await third.closed()
    first.close()
    assert not await asyncio.wait_for(first.reader.read(), 2)
    fourth = await house.call(port)
    fourth.say(ASK)
    (await house.tunnel.accept()).answer(200, b"in")
    assert (await fourth.answer())[2] == b"in"
    second.close()


async def test_loopback_is_not_capped(house) -> None:
    assert all(house.door.sources.take("127.0.0.1") for _ in range(2000))
    assert not all(house.door.sources.take("203.0.113.1") for _ in range(2000))


PROXIED = [{"proxy_from": ("127.0.0.0/8",)}]
ELSEWHERE = [{"proxy_from": ("10.0.0.0/8",)}]
V1 = b"PROXY TCP4 203.0.113.7 127.0.0.1 4711 443\r\n"
V2 = (
    b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c"
    + socket.inet_aton("203.0.113.7")
    + socket.inet_aton("127.0.0.1")
    + (4711).to_bytes(2, "big")
    + (443).to_bytes(2, "big")
)


@pytest.mark.parametrize("house", PROXIED, indirect=True)
@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_trusted_proxy_names_the_visitor(house, header: bytes, tls: bool) -> None:
    port = await house.listen(tls=tls)
    caller = await house.call(port)
    caller.say(header[:9])
    await asyncio.sleep(0.01)
    caller.say(header[9:])
    if tls:
        context = house.client_context("http/1.1")
        await caller.writer.start_tls(context, server_hostname="demo.relay.test")
    caller.say(ASK)
    far = await house.tunnel.accept()
    assert far.peer == ("203.0.113.7", 4711)
    assert dict((await far.head()).headers)[b"X-Forwarded-For"] == b"203.0.113.7"


@pytest.mark.parametrize("house", PROXIED, indirect=True)
async def test_a_trusted_proxy_must_say_whom_it_brings(house) -> None:
    caller = await house.call(await house.listen())
    caller.say(ASK)
    assert await caller.closed()


@pytest.mark.parametrize("house", ELSEWHERE, indirect=True)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_nobody_else_is_believed_to_be_a_proxy(house, tls: bool) -> None:
    caller = await house.call(await house.listen(tls=tls))
    caller.say(V1 + ASK)
    said = await caller.rest() if not tls else b"" if await caller.closed() else b"said"
    assert said == b"" or said.startswith(b"HTTP/1.1 400 ")
    assert house.tunnel.untouched


@pytest.mark.parametrize("house", PROXIED, indirect=True)
async def test_a_proxied_plain_link_is_not_from_loopback(house) -> None:
    caller = await house.call(await house.listen())
    caller.say(V1 + b"UPLINK1\nframes")
    assert await caller.closed()
    assert house.links.accepted.empty()


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /a?b HTTP/1.1\r\nHost: demo.relay.test", 308),
        ("HEAD /a?b HTTP/1.1\r\nHost: demo.relay.test:80", 308),
        ("POST /a?b HTTP/1.1\r\nHost: demo.relay.test\r\nContent-Length: 0", 403),
        ("GET /a?b HTTP/1.1\r\nHost: demo.relay.test\r\nContent-Length: 1", 403),
        ("GET / HTTP/1.1\r\nHost: evil.test", 503),
        ("GET //evil.test/ HTTP/1.1\r\nHost: demo.relay.test", 400),
        ("GET / HTTP/1.1\r\nHost: demo.relay.test\r\nHost: x", 400),
    ],
)
async def test_port_80_redirects_get_and_head_and_nothing_else(
    house, make_listener, request_line: str, status: int
) -> None:
    caller = await house.call(await house.door.open_redirect(make_listener()))
    caller.say(request_line.encode() + b"\r\n\r\n")
    found, fields = await caller.head()
    assert found == status
    assert fields.get("location") == ("https://demo.relay.test/a?b" if status == 308 else None)
    assert house.tunnel.untouched


async def test_draining_ends_idle_connections_and_lets_busy_ones_finish(house) -> None:
    port = await house.listen()
    idle, busy, silent = [await house.call(port) for _ in range(3)]
    idle.say(ASK)
    (await house.tunnel.accept()).answer(200, b"")
    await idle.answer()
    busy.say(ASK)
    far = await house.tunnel.accept()
    await far.head()
    house.door.drain()
    assert await idle.closed()
    assert await silent.closed()
    assert house.door.busy == 1
    far.answer(200, b"done")
    status, fields, body = await busy.answer()
    assert (status, fields["connection"], body) == (200, "close", b"done")
    assert await busy.closed()
    with pytest.raises(ConnectionRefusedError):
        await house.call(port)


async def test_closing_the_door_ends_everybody(house, make_listener, wait_until) -> None:
    port = await house.listen()
    tcp = await house.door.open_tcp(make_listener())
    house.names.ports[tcp] = make_tcp = house.names.hosts["tcp.relay.test"] = house.tunnel
    redirect = await house.door.open_redirect(make_listener())
    silent, held, waiting = [await house.call(port) for _ in range(3)]
    held.say(b"UREA")
    waiting.say(b"UREACH1\n")
    busy = await house.call(port)
    busy.say(ASK)
    await (await house.tunnel.accept()).head()
    make_tcp.kind = "tcp"
    byte = await house.call(tcp)
    await house.tunnel.accept()
    slow = await house.call(redirect)
    slow.say(b"GET")
    await wait_until(lambda: len(house.door.sweeper) == 2 and len(house.door.bytes.visitors) == 2)
    house.door.close()
    for caller in (silent, held, waiting, busy, byte, slow):
        assert await caller.closed()
    assert not house.door.bytes.visitors


async def test_the_limits_are_those_that_were_promised() -> None:
    limits = EdgeLimits()
    assert (limits.head_seconds, limits.body_min_rate, limits.write_stall_seconds) == (10, 1024, 30)
    assert (limits.hold_seconds, limits.heartbeat_seconds) == (5, 15)
    assert limits.sweep_seconds < 1
