"""A program behind ``mcp+stdio:`` that behaves until it is told otherwise: ``rude_server.py``.

Speaks raw JSON-RPC, so that it can also do what no library would. Methods: ``initialize`` and
``ping`` as everybody's; ``tools/call`` with the name of one of ``RUDE``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any


def say(message: dict[str, Any]) -> None:
    os.write(1, json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")


def environment(asked: dict[str, Any]) -> None:
    say({"id": asked["id"], "result": {"environment": dict(os.environ)}})


def garbage(asked: dict[str, Any]) -> None:
    os.write(1, b'\n\r\n\0\xff\xfe\n{}\n[]\nnull\n"x"\n' + b"[" * 100_000 + b"\n")
    os.write(1, b'{"jsonrpc": "2.0", "id": null}\n{"jsonrpc": "1.0", "id": 1, "result": {}}\n')
    os.write(1, b'{"jsonrpc": "2.0", "id": 999, "result": {}}\n' + b"no JSON at all\n" * 1_000)
    say({"id": asked["id"], "result": {"is": "polite again"}})


def endless(asked: dict[str, Any]) -> None:
    while True:
        os.write(1, b"x" * 65_536)


def closes_stdout(asked: dict[str, Any]) -> None:
    os.close(1)
    time.sleep(600)


def closes_stdin(asked: dict[str, Any]) -> None:
    os.close(0)
    time.sleep(600)


def leaves_a_child(asked: dict[str, Any]) -> None:
    """Which holds stdin, stdout and stderr open."""
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(asked["params"]["arguments"]["diary"], "w") as diary:
        diary.write(str(left.pid))
    os._exit(0)


def large_last_words(asked: dict[str, Any]) -> None:
    text = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": {"x": "x" * 8_000_000}})
    data = text.encode() + b"\n"
    while data:
        data = data[os.write(1, data) :]
    os._exit(0)


def hears_nothing(asked: dict[str, Any]) -> None:
    """Neither SIGTERM nor the end of its stdin."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say({"id": asked["id"], "result": {"pid": os.getpid()}})
    time.sleep(600)


RUDE = {
    each.__name__: each
    for each in (
        environment,
        garbage,
        endless,
        closes_stdout,
        closes_stdin,
        leaves_a_child,
        large_last_words,
        hears_nothing,
    )
}

if __name__ == "__main__":
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["method"] == "initialize":
            about = {"name": "rude", "version": "1"}
            version = asked["params"]["protocolVersion"]
            result = {"protocolVersion": version, "capabilities": {}, "serverInfo": about}
            say({"id": asked["id"], "result": result})
        elif asked["method"] == "ping":
            say({"id": asked["id"], "result": {"pid": os.getpid()}})
        elif asked["method"] == "tools/call":
            RUDE[asked["params"]["name"]](asked)
