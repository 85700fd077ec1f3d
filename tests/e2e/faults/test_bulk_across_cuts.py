"""Large bodies across cuts, sent and fetched with curl: whole, and never held in memory."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest
from tunnel_site import MIB, Connector, MemoryWatch, Site, measured

from underpass.testing.fault_proxy import Direction, FaultProxy, Side
from underpass.testing.origins import HttpOrigin, huge_part, huge_sha256

SIZE = 64 * MIB
CUT_AT = (4, 11, 23, 37, 50)
"""MiB that have passed when a link is cut, in ways that take turns."""
MOST_MEMORY = 32 * MIB
"""What a body of any size may add to a process."""


async def cut_on_the_way(proxy: FaultProxy, direction: Direction) -> int:
    """Cut both links whenever the next mark has passed; how often."""
    start = proxy.paths[direction].passed
    for number, mark in enumerate(CUT_AT):
        await proxy.wait_passed(start + mark * MIB, direction)
        if number % 3 == 0:
            proxy.reset()
        elif number % 3 == 1:
            proxy.half_open(Side.CLIENT)
        else:
            proxy.black_hole()
            await asyncio.sleep(0.3)
            proxy.reset()
            proxy.heal()
    return len(CUT_AT)


async def curl(tunnel: Connector, target: str, *words: str, into: Path) -> None:
    """Run curl with the tunnel's credential, which stays out of its command line."""
    config = into.with_suffix(".config")
    config.write_text(f'header = "Authorization: Bearer {tunnel.token}"\n')
    process = await asyncio.create_subprocess_exec(
        *("curl", "--silent", "--show-error", "--fail", "--max-time", "90"),
        *("--config", str(config), "--output", str(into), *words, tunnel.url + target),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("sized", [0, 1], ids=["chunked", "sized"])
async def test_bodies_pass_whole_across_cuts_in_bounded_memory(
    site: Site, tmp_path: Path, sized: int
) -> None:
    sent = tmp_path / "sent"
    digest = hashlib.sha256()
    with sent.open("wb") as file:
        for number in range(SIZE // len(huge_part(0))):
            file.write(huge_part(number))
            digest.update(huge_part(number))
    relay = await site.serve()
    async with HttpOrigin() as origin, FaultProxy("127.0.0.1", relay.port) as proxy:
        link = f"http://127.0.0.1:{proxy.port}"
        tunnel = await site.open(origin.url, relay=link, enrol=relay.token_file)
        got = tmp_path / "got"
        await curl(tunnel, "/", into=got)  # what every process needs for its first request
        async with MemoryWatch(relay, tunnel) as memory, asyncio.timeout(150):
            down = asyncio.create_task(cut_on_the_way(proxy, Direction.UP))
            await curl(tunnel, f"/huge?bytes={SIZE}&sized={sized}", into=got)
            assert await down == len(CUT_AT)
            assert got.stat().st_size == SIZE
            assert sha256(got) == huge_sha256(SIZE)

            up = asyncio.create_task(cut_on_the_way(proxy, Direction.DOWN))
            framing = () if sized else ("--header", "Transfer-Encoding: chunked")
            await curl(tunnel, "/take", "--upload-file", str(sent), *framing, into=got)
            assert await up == len(CUT_AT)
            taken = json.loads(got.read_text())
            assert taken["body_length"] == SIZE
            assert taken["body_sha256"] == digest.hexdigest()
        measured("MiB added at relay, connector", [peak / MIB for peak in memory.peaks])
        assert max(memory.peaks) <= MOST_MEMORY, [peak / MIB for peak in memory.peaks]
        assert len([seen for seen in origin.requests if seen.target.startswith("/huge")]) == 1
        assert len([seen for seen in origin.requests if seen.target == "/take"]) == 1


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
