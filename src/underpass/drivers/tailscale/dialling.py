"""One connection that a tailscaled makes into its tailnet, asked for over its socket."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

HOST: Final = "local-tailscaled.sock"
"""What tailscaled wants in a Host field: a web page could not say it."""

MAX_HEAD: Final = 16 * 1024


async def dial(path: str, host: str, port: int) -> socket.socket:
    """See ``LocalApi.dial``; ``path`` is where tailscaled listens."""
    ours = await _connect(socket.AF_UNIX, path)
    try:
        head = (
            f"POST /localapi/v0/dial HTTP/1.1\r\nHost: {HOST}\r\nTailscale-Cap: 1\r\n"
            "Connection: upgrade\r\nUpgrade: ts-dial\r\nContent-Length: 0\r\n"
            f"Dial-Host: {host}\r\nDial-Port: {port}\r\nDial-Network: tcp\r\n\r\n"
        )
        await asyncio.get_running_loop().sock_sendall(ours, head.encode("ascii"))
        status, fields = await _read_head(ours)
        if status == 101:
            return ours
    except BaseException:
        ours.close()
        raise
    ours.close()
    if status == 200 and fields.get("dial-self") == "true":
        # The way leads over an interface of this machine, which we may use ourselves.
        address, _, number = fields.get("dial-addr", "").rpartition(":")
        address = address.strip("[]")
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return await _connect(family, (address, int(number) if number.isdigit() else 0))
    raise ConnectionRefusedError(f"the node cannot connect to {host}:{port}")


async def _connect(family: int, address: str | tuple[str, int]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(made, address)
    except BaseException:
        made.close()
        raise
    return made


async def _read_head(ours: socket.socket) -> tuple[int, dict[str, str]]:
    """Status and fields of an answer; not one byte of what follows is taken."""
    loop, head = asyncio.get_running_loop(), bytearray()
    while not head.endswith(b"\r\n\r\n"):
        # What comes after it belongs to the caller, so it is read as short as it may be.
        part = await loop.sock_recv(ours, 1)
        if not part or len(head) > MAX_HEAD:
            raise ConnectionResetError("tailscaled ended the connection")
        head += part
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[1].isdigit():
        raise ConnectionResetError("tailscaled answers with something else")
    fields = (line.partition(":") for line in lines)
    return int(words[1]), {name.lower(): value.strip() for name, _, value in fields}
