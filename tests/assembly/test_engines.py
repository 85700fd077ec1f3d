"""The first engine that can be used here and can plan the tunnel carries it."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from underpass.assembly.engines import choose, options_by_engine
from underpass.drivers import registry
from underpass.drivers.errors import (
    EngineCannot,
    EngineMissing,
    EngineOptionInvalid,
    NoEngineFits,
)
from underpass.drivers.plans import RelaySite
from underpass.model.spec import parse_spec


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    value = "underpass.testing.loopback_engine:LoopbackDriver"
    points = [EntryPoint("loopback", value, registry.GROUP)]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)


async def no_relay() -> RelaySite:
    raise AssertionError("the relay's turn has not come")


async def chosen(words: str, directory: Path, **options: str) -> str:
    found = await choose(
        parse_spec(words), directory=directory, commitment=b"", options=options, relay=no_relay
    )
    return found.engine.name


async def test_the_first_engine_that_plans_is_taken(tmp_path: Path) -> None:
    assert await chosen("3001 --engine loopback --engine relay", tmp_path) == "loopback"


async def test_a_gate_that_the_engine_cannot_support_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineCannot, match="the ip gate: nobody believable tells"):
        await chosen("3001 --engine loopback --gate ip:10.0.0.0/8", tmp_path)
    with pytest.raises(EngineCannot, match="underpass reach, which needs our relay"):
        await chosen("tcp://127.0.0.1:5432 --engine loopback", tmp_path)


async def test_an_engine_that_cannot_leaves_the_turn_to_the_next(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="the relay's turn has not come"):
        await chosen("3001 --engine loopback --engine relay --tls passthrough", tmp_path)


async def test_when_none_fits_each_says_why(tmp_path: Path) -> None:
    async def away() -> RelaySite:
        raise EngineMissing("relay", "none is here")

    spec = parse_spec("3001 --engine loopback --engine relay --tls passthrough")
    with pytest.raises(NoEngineFits) as caught:
        await choose(spec, directory=tmp_path, commitment=b"", options={}, relay=away)
    assert caught.value.reasons == (
        "loopback: cannot carry this tunnel with loopback: --tls passthrough: it ends visitors' "
        "TLS itself, or has none; relay: cannot use relay: none is here"
    )


def test_options_go_to_the_engine_they_name() -> None:
    given = options_by_engine(("ssh", "bore"), {"port": "1", "bore.to": "x", "ssh.via": "u@h"})
    assert given == {"ssh": {"port": "1", "via": "u@h"}, "bore": {"to": "x"}}


def test_an_option_for_an_engine_that_was_not_asked_for_is_a_mistake() -> None:
    with pytest.raises(EngineOptionInvalid, match=r"option 'to' of bore: this engine is not asked"):
        options_by_engine(("ssh",), {"bore.to": "x"})
