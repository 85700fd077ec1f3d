"""A lane over TLS: what is written is joined, and arrives all the same."""

from __future__ import annotations

import asyncio
import os
import ssl

import trustme

from underpass.relay.protocol.records import Refuse

SIZES = (1, 100, 5_000, 30_000, 20_000, 64_000, 7) * 4


async def test_lane_over_tls_carries_small_and_large_writes_both_ways(line) -> None:
    loop = asyncio.get_running_loop()
    authority = trustme.CA()
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(served)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    mine, theirs = line.relay.link(), line.connector.link()
    line.links += [mine, theirs]
    server = await loop.create_server(lambda: mine, "127.0.0.1", 0, ssl=served)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await loop.create_connection(lambda: theirs, "127.0.0.1", port, ssl=trusted)
        theirs.send_greeting(Refuse(code="hello", message="so that both have shaken hands"))
        await line.relay.host.until(lambda: line.relay.host.greetings)
    assert mine.secure
    assert theirs.secure
    for side, link in ((line.relay, mine), (line.connector, theirs)):
        side.runner.attach(link, generation=1, peer_received=0, peer_credit=65536)
    visitor, origin = await line.open()
    expected = b"".join(os.urandom(size) for size in SIZES)
    for owner in (visitor, origin):
        position = 0
        for size in SIZES:
            end = position + size
            while position < end:
                resumed = owner.resumed
                part = expected[position : min(end, position + owner.stream.room)]
                position += len(part)
                if not owner.stream.send_data(part):
                    await owner.until(lambda o=owner, r=resumed: o.resumed > r)
    visitor.stream.send_end()
    origin.stream.send_end()
    await visitor.until(lambda: visitor.ended)
    await origin.until(lambda: origin.ended)
    assert bytes(visitor.body) == bytes(origin.body) == expected
    for side in (line.relay, line.connector):
        side.runner.drop_link()
    await line.relay.host.until(lambda: mine.transport is None)
    await line.connector.host.until(lambda: theirs.transport is None)
