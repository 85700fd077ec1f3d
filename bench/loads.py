"""Load generators for a steady tunnel. None may be the bottleneck: `direct` shows what they can.

Bulk moves megabytes a call and throws them away in the kernel; HTTP comes from wrk; only the small
messages and new connections are counted by a Python loop, which costs microseconds where a tunnel
costs tens.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from pathlib import Path

from bench.tcp_origin import BLOCK, MSG_TRUNC
from bench.visitor import TIMEOUT, Door, connect

MESSAGE = b"y" * 64
_RATE = re.compile(r"Requests/sec:\s+([0-9.]+)")
_ERRORS = re.compile(r"(Non-2xx or 3xx responses|Socket errors): *(.*)")


class LoadFailed(Exception):
    """The tunnel did not carry the load; the text says what happened."""


def bulk_up(door: Door, size: int) -> float:
    """GB/s from visitor to origin."""
    with connect(door) as connection:
        connection.sendall(b"D" + size.to_bytes(8, "big"))
        block = memoryview(bytes(BLOCK))
        start, left = time.perf_counter(), size
        while left > 0:
            connection.sendall(block[: min(left, BLOCK)])
            left -= BLOCK
        _expect(connection, b"k")
        return size / (time.perf_counter() - start) / 1e9


def bulk_down(door: Door, size: int) -> float:
    """GB/s from origin to visitor."""
    with connect(door) as connection:
        buffer = bytearray(BLOCK)
        start, left = time.perf_counter(), size
        connection.sendall(b"U" + size.to_bytes(8, "big"))
        while left > 0:
            received = connection.recv_into(buffer, 0, MSG_TRUNC)
            if not received:
                raise LoadFailed(f"broke off with {left} bytes to come")
            left -= received
        return size / (time.perf_counter() - start) / 1e9


def round_trips(door: Door, seconds: float) -> float:
    """Exchanges of 64 bytes a second on one connection, one after the other."""
    with connect(door) as connection:
        connection.sendall(b"E")
        buffer = bytearray(len(MESSAGE))
        for _ in range(50):
            _exchange(connection, buffer)
        count, start = 0, time.perf_counter()
        deadline = start + seconds
        while (now := time.perf_counter()) < deadline:
            for _ in range(50):
                _exchange(connection, buffer)
            count += 50
        return count / (now - start)


def connections(door: Door, seconds: float) -> float:
    """New connections a second, one after the other, each with one exchange through to the
    origin."""
    count, start = 0, time.perf_counter()
    deadline = start + seconds
    while (now := time.perf_counter()) < deadline:
        with socket.create_connection((door.host, door.port), TIMEOUT) as connection:
            connection.sendall(b"Ey")
            _expect(connection, b"y")
        count += 1
    return count / (now - start)


def requests(door: Door, clients: int, seconds: float, folder: Path, hosts: Path) -> float:
    """HTTP requests a second of so many keep-alive clients; answers of 1 KiB."""
    script = folder / f"wrk-{os.getpid()}.lua"
    # In a file and not on the command line: one of the headers is a token.
    fields = [line.split(": ", 1) for line in door.headers]
    if door.name:
        fields.append(["Host", door.authority])
    lines = [f'wrk.headers["{name}"] = "{value}"\n' for name, value in fields]
    script.touch(mode=0o600)
    script.write_text("".join(lines))
    authority = door.authority if door.tls else f"{door.host}:{door.port}"
    url = f"{'https' if door.tls else 'http'}://{authority}/1k"
    load = f"-t1 -c{clients} -d{seconds:g}s --timeout 10s".split()
    command = ["wrk", *load, "-s", str(script), url]
    if door.tls:
        mount = 'mount --bind "$0" /etc/hosts && exec "$@"'
        command = ["unshare", "-m", "sh", "-c", mount, str(hosts), *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    script.unlink()
    if errors := _ERRORS.search(done.stdout):
        raise LoadFailed(f"wrk: {errors[0]}")
    rate = _RATE.search(done.stdout)
    if rate is None or float(rate[1]) == 0:
        raise LoadFailed(f"wrk: {(done.stderr or done.stdout).strip()[-200:]}")
    return float(rate[1])


def _exchange(connection: socket.socket, buffer: bytearray) -> None:
    connection.sendall(MESSAGE)
    received = connection.recv_into(buffer)
    while received < len(MESSAGE):
        more = connection.recv_into(memoryview(buffer)[received:])
        if not more:
            raise LoadFailed("the echo broke off")
        received += more


def _expect(connection: socket.socket, answer: bytes) -> None:
    received = connection.recv(len(answer))
    if received != answer:
        raise LoadFailed(f"expected {answer!r} and got {received!r}")
