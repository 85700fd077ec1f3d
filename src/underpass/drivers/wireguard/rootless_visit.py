"""One visit to a rootless host, as a host of its network makes it, run as a program.

Standard input is a socket: what comes by it goes to the tunnel address over WireGuard, and back.
The stack is wireguard-requests' (a Rust extension), from another hand than the visited one.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from underpass.guard.private_files import read_private

READ_BYTES = 64 * 1024


def main(words: list[str]) -> int:
    """Visit what the file ``words[0]`` describes, with its key number ``words[1]``; returns when
    either side has ended."""
    facts, number = json.loads(read_private(Path(words[0]))), int(words[1])
    # TEST-NET-1: an address that no host of a network has.
    private, source = facts["private"][number], f"192.0.2.{number + 1}"
    native = importlib.import_module("wireguard_requests._native")
    peer = native.WgPeer(facts["public"], facts["endpoint"], [f"{facts['address']}/32"])
    tunnel = native.WgTunnel(native.WgConfig(private, source, [peer]))
    try:
        stream = tunnel.create_stream(facts["address"], facts["port"])
    except Exception as error:
        sys.stderr.write(f"no visit: {type(error).__name__}\n")
        return 1
    ours = socket.socket(fileno=os.dup(0))
    threading.Thread(target=_inwards, args=(ours, stream), daemon=True).start()
    try:
        while data := bytes(stream.recv(READ_BYTES)):
            ours.sendall(data)
    except Exception:
        return 1
    finally:
        ours.close()
        # The threads of the stack do not all end by themselves.
        sys.stderr.flush()
    return 0


def _inwards(ours: socket.socket, stream: Any) -> None:
    try:
        while data := ours.recv(READ_BYTES):
            stream.sendall(data)
    except Exception:
        os._exit(1)


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
