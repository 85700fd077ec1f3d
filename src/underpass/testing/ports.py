"""Ports for programs that must be told theirs before they listen.

They lie below those that the kernel gives to whoever asks for any: else a connection of somebody
else, which needs a port of its own, may have it a moment later, or while a server is away.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Final

LOWEST: Final = 10_000
# Below are the usual ports of programs that tests start, or that run here anyway.

ATTEMPTS: Final = 1_000

_KERNEL_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_LOWEST_OF_KERNEL: Final = 32_768


def free_port(
    host: str = "127.0.0.1", kind: socket.SocketKind = socket.SocketKind.SOCK_STREAM
) -> int:
    """A port that nobody holds at this moment."""
    return free_ports(1, host, kind).start


def free_ports(
    count: int,
    host: str = "127.0.0.1",
    kind: socket.SocketKind = socket.SocketKind.SOCK_STREAM,
) -> range:
    """So many in a row; drawn by chance, so that processes beside each other get others."""
    highest = _below_kernels()
    for _ in range(ATTEMPTS):
        start = random.randint(LOWEST, highest - count + 1)
        ports = range(start, start + count)
        if all(_is_free(host, port, kind) for port in ports):
            return ports
    raise RuntimeError(f"no {count} free ports in a row from {LOWEST} to {highest}")


def _is_free(host: str, port: int, kind: socket.SocketKind) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _below_kernels() -> int:
    """The highest port to draw: of all, where the kernel leaves too few to others."""
    try:
        lowest = int(_KERNEL_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        lowest = _USUAL_LOWEST_OF_KERNEL
    return lowest - 1 if lowest > 2 * LOWEST else 65_535
