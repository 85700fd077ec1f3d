from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from bench.origins import Origins
from bench.peers import ALL, Peer
from bench.peers.direct import Direct
from bench.run import make_workplace
from bench.steady import QUICK, WORKLOADS, Steady
from bench.visitor import Door, first_byte, is_served
from bench.weather import Weather

from bench import loads, origins

ROOT = Path(__file__).parents[2]
MISSING = origins.missing()
pytestmark = [
    pytest.mark.nginx,
    # In CI nothing may be missing: there the tests fail instead.
    pytest.mark.skipif(MISSING is not None and not os.environ.get("CI"), reason=str(MISSING)),
]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Origins]:
    started = Origins(tmp_path)
    yield started
    started.stop()


def test_the_origins_serve_and_are_gone_afterwards(tmp_path: Path) -> None:
    running = Origins(tmp_path)
    doors = [(Door("127.0.0.1", running.tcp_port), "tcp")]
    doors.append((Door("127.0.0.1", running.http_port), "http"))
    assert all(is_served(door, kind) for door, kind in doors)
    running.stop()
    assert not any(is_served(door, kind) for door, kind in doors)


def test_every_load_gives_a_number_without_a_tunnel(running: Origins, tmp_path: Path) -> None:
    workplace = make_workplace(tmp_path, running)
    with Weather() as weather:
        steady = Steady(Direct(workplace), workplace, weather)
        values = {load.name: load.measure(steady, QUICK) for load in WORKLOADS}
    assert all(value > 0 for value in values.values())
    assert 239 < values["first byte at 40 ms, new connection"] < 2000
    assert 159 < values["first byte at 40 ms, kept connection"] < 2000


def test_a_load_that_is_refused_is_an_error_and_no_number(running: Origins, tmp_path: Path) -> None:
    nobody = Door("127.0.0.1", running.http_port, headers=("Transfer-Encoding: nonsense",))
    with pytest.raises(OSError, match="answered"):
        first_byte(nobody)
    with pytest.raises(loads.LoadFailed, match="Non-2xx"):
        loads.requests(nobody, 1, 1, tmp_path, tmp_path)


@pytest.mark.parametrize("peer", ALL, ids=lambda peer: peer.name)
def test_every_peer_has_a_name_and_a_note_and_says_why_it_is_missing(peer: type[Peer]) -> None:
    assert peer.name
    assert peer.note
    assert peer.missing() is None or peer.missing()


@pytest.mark.slow
def test_a_quick_run_leaves_a_table_a_file_and_no_process(tmp_path: Path) -> None:
    before = children_of_init()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench.run", "--quick", "--only", "round trips"),
            *("--peers", "direct,ssh -R,bore", "--json", str(tmp_path / "bench.json")),
        ],
        cwd=ROOT,
        env={**os.environ, "UNDERPASS_ENGINES": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert "- **bore**: bore is missing: make engines" in done.stdout
    assert "| direct | no tunnel: the limit" in done.stdout
    result = json.loads((tmp_path / "bench.json").read_text())
    assert result["schema"] == "underpass/v1/bench"
    (figures,) = result["figures"]
    assert figures["workload"] == "round trips of 64 bytes"
    assert figures["peers"]["direct"]["median"] > 0
    assert children_of_init() == before


def children_of_init() -> set[int]:
    """Where programs end up that their starter forgot."""
    names = {"sshd", "ssh", "nginx", "bore"}
    return {
        process.pid
        for process in psutil.process_iter(["name"])
        if process.info["name"] in names and process.ppid() == 1
    }


def test_a_peer_that_does_not_exist_is_a_mistake() -> None:
    done = subprocess.run(
        [sys.executable, "bench/run.py", "--peers", "nonsense"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "no such peer: nonsense (there are direct, ssh -R, bore" in done.stderr
