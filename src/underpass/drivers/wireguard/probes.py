"""Asking hosts whether they are there: echo requests, and a datagram that may be refused."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from contextlib import suppress
from typing import Final

from underpass.drivers.wireguard.health import OuterPath
from underpass.drivers.wireguard.place import Place

ECHO_REQUEST: Final = {4: 8, 6: 128}
ECHO_REPLY: Final = {4: 0, 6: 129}


class Pinger:
    """Sends echo requests from one place. ``close`` it in the end; needs the right to do so."""

    def __init__(self, place: Place, version: int) -> None:
        """``version`` is that of IP: 4 or 6. Raises ``OSError``."""
        self._version = version
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
        self._socket = place.socket(family, socket.SOCK_RAW, protocol)
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        self._loop.add_reader(self._socket, self._readable)

    async def ping(self, address: str, seconds: float) -> bool:
        """Whether ``address`` answers one echo request in time."""
        token = os.urandom(16)
        answer = self._waiting[token] = self._loop.create_future()
        try:
            self._socket.sendto(echo_request(self._version, token), (address, 0))
            async with asyncio.timeout(seconds):
                await answer
        except (OSError, TimeoutError):
            return False
        else:
            return True
        finally:
            del self._waiting[token]

    def close(self) -> None:
        """Send no more. Idempotent."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def _readable(self) -> None:
        with suppress(OSError):
            for _ in range(64):  # a flood of others' answers must not hold the loop
                data = self._socket.recv(2_048)
                token = read_reply(self._version, data)
                answer = self._waiting.get(token) if token is not None else None
                if answer is not None and not answer.done():
                    answer.set_result(None)


async def try_path(place: Place, host: str, port: int, seconds: float) -> OuterPath:
    """What the far host says outside the tunnel: ``host`` is an address.

    One byte goes to its port: WireGuard passes it over, a port without a listener is refused.
    """
    version = 6 if ":" in host else 4
    try:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        datagram = place.socket(family, socket.SOCK_DGRAM)
    except OSError:
        return OuterPath.UNTRIED
    try:
        pinger = Pinger(place, version)
    except OSError:
        datagram.close()
        return OuterPath.UNTRIED
    refused = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()
    try:
        try:
            datagram.connect((host, port))
            datagram.send(b"\0")
        except OSError:
            return OuterPath.REFUSED
        loop.add_reader(datagram, _refusal, datagram, refused)
        ping = asyncio.ensure_future(pinger.ping(host, seconds))
        await asyncio.wait([ping, refused], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if ping.done() and ping.result() and not refused.done():
            # The refusal of the port takes as long as the ping, and may come after it.
            await asyncio.wait([refused], timeout=min(seconds, 0.3))
        answered = await ping
        if refused.done():
            return OuterPath.REFUSED
        return OuterPath.ANSWERED if answered else OuterPath.SILENT
    finally:
        loop.remove_reader(datagram)
        refused.cancel()
        datagram.close()
        pinger.close()


def echo_request(version: int, token: bytes) -> bytes:
    """A whole message; the kernel itself sums up those of IPv6. Pure."""
    number = ECHO_REQUEST[version]
    # The identifier is the token's beginning: some kernels and NATs look at it.
    rest = token[:2] + b"\0\1" + token
    if version == 6:
        return struct.pack("!BBH", number, 0, 0) + rest
    return struct.pack("!BBH", number, 0, _checksum(bytes([number, 0, 0, 0]) + rest)) + rest


def read_reply(version: int, data: bytes) -> bytes | None:
    """The token of an echo reply as a raw socket gives it, with IPv4's head; None for others."""
    if version == 4:
        if not data or data[0] >> 4 != 4 or len(data) < (data[0] & 15) * 4:
            return None
        data = data[(data[0] & 15) * 4 :]
    if len(data) != 24 or data[0] != ECHO_REPLY[version]:
        return None
    return data[8:]


def _refusal(datagram: socket.socket, refused: asyncio.Future[None]) -> None:
    try:
        datagram.recv(2_048)
    except BlockingIOError:
        return
    except OSError:
        if not refused.done():
            refused.set_result(None)


def _checksum(data: bytes) -> int:
    """RFC 1071, for an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
