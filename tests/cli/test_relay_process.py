"""``underpass relay serve`` as a process: a real relay, told by signals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from underpass.guard.secrets import read_private


@pytest.fixture
async def relay(environment, tmp_path):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "underpass", "relay", "serve", "--dev", "--json"),
        *("--listen", "127.0.0.1:0", "--state", str(tmp_path / "relay")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    yield process
    if process.returncode is None:
        process.kill()
        await process.communicate()


async def told(process) -> dict[str, object]:
    return json.loads(await asyncio.wait_for(process.stdout.readline(), 20))


async def test_it_says_where_it_is_reloads_and_drains(relay, tmp_path, underpass):
    ready = await told(relay)
    assert list(ready) == ["schema", "event", "public_url", "link_url", "enrol_token_file"]
    assert ready["event"] == "ready"
    token_file = Path(ready["enrol_token_file"])
    assert token_file == tmp_path / "relay" / "enrol-token"
    assert stat.S_IMODE(os.stat(token_file).st_mode) == 0o600
    host, _, port = ready["public_url"].removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.1\r\nHost: unknown.localhost\r\n\r\n")
    assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 ")
    writer.close()
    listed = await underpass("relay", "keys", "list", "--state", str(tmp_path / "relay"))
    assert (listed.code, listed.err) == (0, "no key is enrolled\n")
    relay.send_signal(signal.SIGHUP)
    assert (await told(relay))["event"] == "reloaded"
    relay.send_signal(signal.SIGTERM)
    assert (await told(relay))["event"] == "draining"
    out, err = await asyncio.wait_for(relay.communicate(), 20)
    assert (relay.returncode, out) == (0, b"")
    assert read_private(token_file).strip() not in err


async def test_ctrl_c_is_130(relay):
    await told(relay)
    relay.send_signal(signal.SIGINT)
    await asyncio.wait_for(relay.communicate(), 20)
    assert relay.returncode == 130


async def test_a_port_that_is_taken_is_an_error_object(relay, underpass, tmp_path):
    address = (await told(relay))["public_url"].removeprefix("http://")
    state = str(tmp_path / "other")
    words = ("relay", "serve", "--dev", "--listen", address, "--state", state, "--json")
    done = await underpass(*words)
    assert done.code != 0
    assert done.json["error"]["message"].startswith("cannot ")
    assert done.json["error"]["code"] != "unexpected-failure"
