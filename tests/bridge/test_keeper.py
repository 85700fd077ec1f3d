"""The bridge's own process: started, kept, and ended with all it started."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
from pathlib import Path

import psutil
import pytest
from tests.bridge.conftest import COMMAND, DEADLINE, client_of, until
from tests.bridge.test_app import process_of

from underpass.bridge.errors import (
    BridgeBroken,
    StdioServerEnded,
    StdioServerNotFound,
    VariableNotSet,
)
from underpass.bridge.keeper import BridgeKeeper


async def test_it_serves_and_leaves_nothing(short: Path):
    async with asyncio.timeout(DEADLINE):
        async with BridgeKeeper(COMMAND, short) as keeper:
            async with client_of(keeper.socket, "sessions") as client:
                process = await process_of(client)
            bridge = keeper.pid
            assert bridge is not None
            assert (keeper.socket.stat().st_mode & 0o777) == 0o600
        assert not psutil.pid_exists(bridge)
        await until(lambda: not psutil.pid_exists(process))
        assert os.listdir(short) == []


async def test_the_commands_words_are_in_no_argument_list_of_ours(short: Path):
    async with (
        asyncio.timeout(DEADLINE),
        BridgeKeeper((*COMMAND, "--token=hush"), short) as keeper,
    ):
        assert keeper.pid is not None
        assert "hush" not in " ".join(psutil.Process(keeper.pid).cmdline())


async def test_a_killed_bridge_comes_back_and_takes_its_servers_along(short: Path):
    async with asyncio.timeout(2 * DEADLINE), BridgeKeeper(COMMAND, short) as keeper:
        async with client_of(keeper.socket, "stateless") as client:
            process = await process_of(client)
        first = keeper.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: not psutil.pid_exists(process))
        await until(lambda: keeper.pid != first and keeper.socket.exists())
        async with client_of(keeper.socket, "stateless") as client:
            assert await process_of(client) != process


async def test_a_program_that_is_not_there(short: Path):
    with pytest.raises(StdioServerNotFound) as caught:
        await BridgeKeeper(("/no/such/server", "--token=hush"), short).start()
    assert caught.value.code == "stdio-server-not-found"
    assert "hush" not in str(caught.value)
    assert os.listdir(short) == []


async def test_a_variable_that_is_not_set(short: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SET_KEY", "hush")
    with pytest.raises(VariableNotSet) as caught:
        await BridgeKeeper(COMMAND, short, ("SET_KEY", "UNSET_KEY", "OTHER_KEY")).start()
    assert caught.value.code == "variable-not-set"
    assert caught.value.message == "cannot pass on UNSET_KEY, OTHER_KEY: not set here"
    assert os.listdir(short) == []


async def test_a_program_that_ends_at_once(short: Path):
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(StdioServerEnded) as caught:
            await BridgeKeeper(("sh", "-c", "echo hush >&2; exit 3"), short).start()
    assert caught.value.code == "stdio-server-ended"
    assert "hush" not in str(caught.value)
    assert os.listdir(short) == []


async def test_without_the_sdk_it_says_what_to_install(
    short: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BridgeBroken) as caught:
        await BridgeKeeper(COMMAND, short).start()
    assert caught.value.code == "bridge-broken"
    assert "underpass[mcp]" in str(caught.value.hint)
