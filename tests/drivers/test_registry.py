"""Drivers are found by name, imported when used, and nobody else imports them."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from underpass.drivers import registry
from underpass.drivers.errors import EngineNotLoaded
from underpass.model.errors_spec import EngineUnknown
from underpass.testing.loopback_engine import LoopbackDriver

PLUGGED = "underpass.testing.loopback_engine:LoopbackDriver"


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Any:
    def plug(name: str, value: str) -> None:
        points = [EntryPoint(name, value, registry.GROUP)]
        monkeypatch.setattr(registry, "entry_points", lambda group: points)

    return plug


@pytest.mark.parametrize("engine", registry.BUILT_IN)
def test_every_built_in_driver_loads_and_knows_its_name(engine: str) -> None:
    assert registry.load(engine).name == engine


def test_a_plug_in_is_found_by_its_entry_point(plug: Any) -> None:
    plug("loopback", PLUGGED)
    assert isinstance(registry.load("loopback"), LoopbackDriver)
    assert registry.known()[-1] == "loopback"


def test_a_plug_in_cannot_take_the_place_of_a_built_in_driver(plug: Any) -> None:
    plug("relay", PLUGGED)
    assert registry.load("relay").name == "relay"


def test_a_broken_plug_in_is_named_with_its_fault(plug: Any) -> None:
    plug("broken", "nowhere.at.all:Driver")
    with pytest.raises(EngineNotLoaded, match=r"nowhere\.at\.all:Driver: ModuleNotFoundError"):
        registry.load("broken")


def test_an_unknown_engine_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(EngineUnknown) as caught:
        registry.load("teleport")
    assert caught.value.hint is not None
    assert "relay" in caught.value.hint


def test_the_registry_imports_no_driver_before_one_is_used() -> None:
    lines = (
        "import sys; import underpass.drivers.registry as registry; registry.known()\n"
        "for value in registry.BUILT_IN.values():\n"
        "    assert value.partition(':')[0] not in sys.modules, value\n"
    )
    subprocess.run([sys.executable, "-c", lines], check=True, timeout=20)
