"""``underpass mesh`` where no tailnet is needed: without a daemon, without a terminal, misused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from underpass.drivers.mesh import MeshUnmended, Step
from underpass.drivers.plans import Site
from underpass.drivers.tailscale.driver import TailscaleDriver

Run = Callable[..., Awaitable[Any]]


async def test_without_a_daemon_the_way_to_start_it_is_told(underpass: Run, runtime: Path) -> None:
    socket = str(runtime / "none.sock")
    done = await underpass("mesh", "recover", "--yes", "--socket", socket)
    assert done.code == 5
    assert "FAULT" in done.out
    assert "daemon-away" in done.out
    assert "sudo systemctl start tailscaled" in done.out
    assert "somebody has to do this" in done.out
    told = await underpass("mesh", "check", "--json", "--socket", socket)
    assert (told.code, told.err) == (5, "")
    assert told.json["schema"] == "underpass/v1/mesh"
    assert (told.json["ok"], told.json["scope"]) == (False, "here")


async def test_where_nobody_can_be_asked_nothing_is_done(underpass: Run, runtime: Path) -> None:
    socket = str(runtime / "none.sock")
    done = await underpass("mesh", "recover", "--socket", socket)
    assert (done.code, done.out) == (2, "")
    assert "--yes or --dry-run" in done.err
    told = await underpass("mesh", "recover", "--json", "--socket", socket)
    assert (told.code, told.json["taken"]) == (5, [])
    assert told.json["schema"] == "underpass/v1/mesh-recovery"


@pytest.mark.parametrize(
    "url",
    [
        "https://vm:1/",
        "vm:8001",
        "http://",
        "http://vm:port/",
        "http://vm/\r\nHost: x",
        "http://vm/ x",
        "http://vm/ü",
    ],
)
async def test_only_plain_urls_are_visited(underpass: Run, url: str) -> None:
    done = await underpass("mesh", "check", "--visit", url)
    assert done.code == 2
    assert "HOST[:PORT]" in done.err


async def test_an_engine_without_a_mesh_is_refused(underpass: Run) -> None:
    done = await underpass("mesh", "check", "--engine", "bore", "--json")
    assert done.code == 7
    assert done.json["error"]["code"] == "no-mesh"


async def test_an_auth_key_that_others_can_read_is_refused(underpass: Run, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("tskey-auth-x")
    key.chmod(0o644)
    words = ("mesh", "recover", "--json", "--yes", "--auth-key-file", str(key))
    done = await underpass(*words)
    assert done.code != 5
    assert done.json["error"]["code"] == "loose-mode"


async def test_a_step_that_is_somebody_elses_is_not_taken(runtime: Path) -> None:
    site = Site("mesh", runtime, options={"socket": str(runtime / "none.sock")})
    for step in (Step("restart-there", "vm", "restart it there"), Step("rebind", "me", "rebind")):
        with pytest.raises(MeshUnmended) as caught:
            await TailscaleDriver().mend(step, site, key=None, seconds=5, say=print)
        assert caught.value.code == "mesh-unmended"
        assert step.what in caught.value.message
