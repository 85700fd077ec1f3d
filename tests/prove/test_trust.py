"""What opens because the peer looked local: seven shapes of the mistake, behind real tunnels."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.prove.loopback_apps import SHAPES, serve

from underpass.assembly import open_tunnel
from underpass.assembly.errors import TrustUncheckable
from underpass.assembly.examination import Examination
from underpass.gatehouse.origin.source import choose, machine_addresses
from underpass.model.options import OpenOptions
from underpass.model.spec import parse_spec
from underpass.prove.trust import Asker, Finding, Seen, is_sound, judge
from underpass.testing.origins.tcp import TcpEcho

needs_address = pytest.mark.usefixtures("an_address")


@pytest.fixture
def an_address() -> None:
    assert choose(machine_addresses(), "127.0.0.1"), "this machine has no address but loopback"


@pytest.fixture
def runtime() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="up-") as path:
        yield Path(path)


@asynccontextmanager
async def examined(words: str, home: Path, runtime: Path) -> AsyncIterator[Examination]:
    """An open tunnel's examination."""
    options = OpenOptions(state_dir=home / "state", runtime_dir=runtime)
    tunnel = await open_tunnel(parse_spec(words), options)
    try:
        assert isinstance(tunnel.examination, Examination)
        yield tunnel.examination
    finally:
        await tunnel.close()


async def findings(words: str, home: Path, runtime: Path) -> dict[str, Any]:
    async with examined(words, home, runtime) as examination:
        told = await examination.trust(["/", "/admin", "/vault"])
    return {"ok": told["ok"], **{each["path"]: each["finding"] for each in told["paths"]}}


@needs_address
@pytest.mark.parametrize("shape", SHAPES)
async def test_visitors_of_no_shape_are_taken_for_the_machine(
    shape: str, tmp_path: Path, runtime: Path
) -> None:
    async with serve(SHAPES[shape]) as port:
        found = await findings(f"{port}", tmp_path, runtime)
    assert found == {"ok": True, "/": "open", "/admin": "kept-shut", "/vault": "closed"}


@needs_address
@pytest.mark.parametrize("shape", ["exact_peer", "any_loopback_peer", "peer_or_host"])
async def test_what_trusts_its_peer_opens_when_visitors_come_from_loopback(
    shape: str, tmp_path: Path, runtime: Path
) -> None:
    """The control: without our care the same applications are open, and it is told."""
    async with serve(SHAPES[shape]) as port:
        found = await findings(f"{port} --peer loopback", tmp_path, runtime)
    assert found == {"ok": False, "/": "open", "/admin": "opened-by-trust", "/vault": "closed"}


@needs_address
@pytest.mark.parametrize("shape", ["own_host", "peer_or_host"])
async def test_what_trusts_its_own_name_opens_when_visitors_say_it(
    shape: str, tmp_path: Path, runtime: Path
) -> None:
    async with serve(SHAPES[shape]) as port:
        words = f"{port} --host-header origin"
        async with examined(words, tmp_path, runtime) as examination:
            told = await examination.trust(["/admin"])
    (path,) = told["paths"]
    assert (told["ok"], path["finding"]) == (False, "opened-by-trust")
    assert "host" in path["trusts"]


@needs_address
async def test_gates_that_only_others_can_pass_are_no_hindrance(
    tmp_path: Path, runtime: Path
) -> None:
    async with serve(SHAPES["exact_peer"]) as port:
        found = await findings(f"{port} --gate ip:203.0.113.0/24", tmp_path, runtime)
    assert found == {"ok": True, "/": "open", "/admin": "kept-shut", "/vault": "closed"}


async def test_a_tunnel_that_carries_bytes_has_no_paths(tmp_path: Path, runtime: Path) -> None:
    async with (
        TcpEcho() as origin,
        examined(f"tcp://127.0.0.1:{origin.port}", tmp_path, runtime) as examination,
    ):
        with pytest.raises(TrustUncheckable) as caught:
            await examination.trust(())
    assert caught.value.code == "trust-uncheckable"


@pytest.mark.parametrize(
    ("statuses", "finding", "trusts"),
    [
        ((200, 200, 200, 200, 200, 200), Finding.OPEN, ()),
        ((401, 401, 401, 401, 401, 401), Finding.CLOSED, ()),
        ((200, 200, 401, 401, 200, 200), Finding.OPENED_BY_TRUST, ("peer",)),
        ((200, 401, 200, 401, 200, 200), Finding.OPENED_BY_TRUST, ("host",)),
        ((200, 401, 401, 401, 200, 200), Finding.OPENED_BY_TRUST, ("peer", "host")),
        ((200, 200, 200, 403, 403, 403), Finding.KEPT_SHUT, ("peer", "host")),
        ((200, 200, 401, 401, 401, 200), Finding.BELIEVES_CLAIMS, ("peer",)),
        ((401, 401, 401, 401, 401, 200), Finding.BELIEVES_CLAIMS, ()),
        ((200, 200, 302, 302, 302, 302), Finding.KEPT_SHUT, ("peer",)),
        ((0, 0, 0, 0, 503, 503), Finding.UNTOLD, ()),
        ((200, 200, 401, 401, 0, 0), Finding.UNTOLD, ("peer",)),
    ],
)
def test_six_answers_mean_one_thing(
    statuses: tuple[int, ...], finding: Finding, trusts: tuple[str, ...]
) -> None:
    judged = judge(
        "/a", {asker: Seen(status) for asker, status in zip(Asker, statuses, strict=True)}
    )
    assert (judged.finding, judged.trusts) == (finding, trusts)
    alarming = {Finding.OPENED_BY_TRUST, Finding.BELIEVES_CLAIMS}
    assert is_sound([judged]) is (finding not in alarming)
