"""What asyncio's transports do not offer about their sockets."""

from __future__ import annotations

import asyncio
import fcntl
import select
import socket
import struct
import sys
from enum import IntEnum
from typing import Final

_LINGER_ZERO: Final = struct.pack("ii", 1, 0)
_RDHUP: Final = getattr(select, "POLLRDHUP", 0)
# Constants of <linux/sockios.h>; elsewhere progress is judged by the transport's buffer alone.
_SIOCOUTQ: Final = 0x5411
# tcpi_bytes_acked in struct tcp_info of <linux/tcp.h>, since Linux 4.1.
_BYTES_ACKED: Final = slice(120, 128) if sys.platform == "linux" else slice(0, 0)

if hasattr(socket, "TCP_KEEPIDLE"):
    _KEEPALIVE: tuple[tuple[int, int, int], ...] = (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        # A visitor whose path died is noticed after about two minutes of silence.
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
    )
else:
    _KEEPALIVE = ((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),)


def prepare_listener(listener: socket.socket) -> None:
    """Options that Linux hands down to every accepted socket, so that none is set again there."""
    listener.setblocking(False)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for level, option, value in _KEEPALIVE:
        listener.setsockopt(level, option, value)


def reset(transport: asyncio.Transport) -> None:
    """Close with a RST: what was sent so far cannot be taken for complete."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        except OSError:  # already gone
            pass
    transport.abort()


class Departure(IntEnum):
    """What a look at a socket that nobody reads can tell."""

    STAYS = 0
    HALF_CLOSED = 1
    GONE = 2


def look_for_departure(transport: asyncio.Transport) -> Departure:
    """Ask the kernel, without waiting, whether the visitor has closed.

    macOS has no POLLRDHUP: there a FIN behind unread bytes is seen once they are read.
    """
    sock = transport.get_extra_info("socket")
    return Departure.GONE if sock is None else departure_of(sock.fileno())


def departure_of(descriptor: int) -> Departure:
    """The same for a bare descriptor."""
    if descriptor < 0:
        return Departure.GONE
    poll = select.poll()
    poll.register(descriptor, _RDHUP)
    for _, events in poll.poll(0):
        if events & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
            return Departure.GONE
        if events & _RDHUP:
            return Departure.HALF_CLOSED
    return Departure.STAYS


def progress(transport: asyncio.Transport) -> int:
    """A number that changes when the visitor's kernel takes bytes: what it has acknowledged, or
    where that cannot be known, what waits.

    What waits is no measure of its own: below a TLS transport bytes wait that nobody counts, and
    refill the kernel's buffer as fast as it drains.
    """
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0 or not _BYTES_ACKED.stop:
        return unsent(transport)
    try:
        told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED.stop)
    except OSError:
        return unsent(transport)
    if len(told) < _BYTES_ACKED.stop:
        return unsent(transport)
    return int.from_bytes(told[_BYTES_ACKED], sys.byteorder)


def unsent(transport: asyncio.Transport) -> int:
    """Bytes written but not yet acknowledged by the visitor's kernel, as far as can be known."""
    waiting = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return waiting
    try:
        queued = fcntl.ioctl(sock.fileno(), _SIOCOUTQ, b"\0\0\0\0")
    except OSError:
        return waiting
    return waiting + int(struct.unpack("i", queued)[0])
