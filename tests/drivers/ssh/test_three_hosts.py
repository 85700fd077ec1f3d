"""PostgreSQL behind two hosts, each in a network of its own, reached as its users reach it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.stage import Program, Stage

from underpass.testing.network import Namespace, Network, missing_for_networks
from underpass.testing.sshd import SshKeys, SshServer, missing_for_sshd, write_known_hosts

MISSING = missing_for_networks() or missing_for_sshd()
POSTGRES = Path("/usr/lib/postgresql")

pytestmark = [
    pytest.mark.root,
    # In CI nothing may be missing: there the tests fail instead.
    pytest.mark.skipif(MISSING is not None and not os.environ.get("CI"), reason=str(MISSING)),
    pytest.mark.skipif(
        not POSTGRES.is_dir() and not os.environ.get("CI"),
        reason="no PostgreSQL: apt-get install postgresql",
    ),
]


class Hosts:
    """laptop - bastion - inner - database: each cable is a network, and nobody is a router."""

    def __init__(self, net: Network) -> None:
        self.laptop, self.bastion, self.inner, self.database = (
            net.namespace(label) for label in ("lap", "bas", "inn", "db")
        )
        net.cable(self.laptop, "10.83.1.2/24", self.bastion, "10.83.1.1/24")
        net.cable(self.bastion, "10.83.2.1/24", self.inner, "10.83.2.2/24")
        net.cable(self.inner, "10.83.3.1/24", self.database, "10.83.3.2/24")


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with Network() as net:
        yield Hosts(net)


@pytest.fixture
def database(hosts: Hosts) -> Iterator[None]:
    """PostgreSQL on its own host, listening at 10.83.3.2."""
    programs = max(POSTGRES.iterdir()) / "bin"
    home = Path(tempfile.mkdtemp(prefix="pg-"))
    shutil.chown(home, "postgres")
    user = ("runuser", "-u", "postgres", "--")
    words = ("-D", f"{home}/data", "-A", "trust", "-U", "postgres", "--no-sync")
    made = subprocess.run(
        (*user, f"{programs}/initdb", *words), capture_output=True, text=True, timeout=50, cwd="/"
    )
    assert made.returncode == 0, made.stderr
    with (home / "data" / "pg_hba.conf").open("a") as rules:
        rules.write("host all all 10.83.3.0/24 trust\n")
    hosts.database.start(
        *(*user, f"{programs}/postgres", "-D", f"{home}/data", "-h", "10.83.3.2"),
        *("-k", "", "-c", "fsync=off", "-c", "shared_buffers=16MB"),
    )
    yield
    hosts.database.end_processes()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
async def servers(hosts: Hosts, tmp_path: Path) -> AsyncIterator[list[SshServer]]:
    keys = SshKeys(tmp_path / "keys")
    made = [
        SshServer(
            tmp_path / host.name,
            keys,
            host=address,
            port=2222,
            prefix=("ip", "netns", "exec", host.name),
        )
        for host, address in ((hosts.bastion, "10.83.1.1"), (hosts.inner, "10.83.2.2"))
    ]
    write_known_hosts(tmp_path / "known_hosts", *made)
    for server in made:
        await server.start()
    yield made
    for server in made:
        await server.stop()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    runtime = Path(tempfile.mkdtemp(prefix="up-"))
    (tmp_path / "home").mkdir()
    stage = Stage(tmp_path / "home", runtime)
    yield stage
    await stage.strike()
    shutil.rmtree(runtime, ignore_errors=True)


async def pgbench(laptop: Namespace, where: str, *words: str) -> str:
    host, _, port = where.rpartition(":")
    process = await asyncio.create_subprocess_exec(
        *("ip", "netns", "exec", laptop.name, "pgbench", "-h", host, "-p", port),
        *("-U", "postgres", *words, "postgres"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(40.0):
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


@pytest.mark.slow
@pytest.mark.usefixtures("database")
async def test_pgbench_runs_over_two_hosts_and_again_after_restart_and_blackout(
    hosts: Hosts, servers: list[SshServer], stage: Stage, tmp_path: Path
) -> None:
    via = ",".join(server.where for server in servers)
    given = {
        "identity": str(tmp_path / "keys" / "id_known"),
        "known-hosts": str(tmp_path / "known_hosts"),
        "config": "none",
    }
    options = [word for pair in given.items() for word in ("--engine-option", "=".join(pair))]
    reach: Any = await stage.spawn(
        *("ip", "netns", "exec", hosts.laptop.name, sys.executable, "-m", "underpass"),
        *("reach", "10.83.3.2:5432", "--via", f"ssh:{via}", *options, "--json"),
        kind=Program,
    )
    ready = await reach.event("ready")
    assert ready["detail"] == "it greets as postgresql"
    where = ready["listen"]
    await pgbench(hosts.laptop, where, "--initialize", "--quiet")
    told = await pgbench(hosts.laptop, where, "-c", "4", "-T", "1")
    assert "number of failed transactions: 0 (0.000%)" in told

    await servers[0].stop()
    await reach.event("link-lost")
    waiting = asyncio.create_task(pgbench(hosts.laptop, where, "-c", "2", "-t", "10"))
    await servers[0].start()
    await reach.event("ready")
    assert "number of transactions actually processed: 20/20" in await waiting

    # Nobody says goodbye: only silence tells.
    loop = asyncio.get_running_loop()
    with hosts.bastion.drop():
        began = loop.time()
        await reach.event("link-lost")
        assert loop.time() - began < 12.0
    await reach.event("ready")
    assert "20/20" in await pgbench(hosts.laptop, where, "-c", "2", "-t", "10")
    assert await reach.stop() == 130
    assert await stage.leftovers() == []
