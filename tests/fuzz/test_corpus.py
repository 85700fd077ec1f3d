"""The committed corpus stays harmless, and so do its neighbours."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.pure

HERE = Path(__file__).parent


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_lane", HERE / "fuzz_lane.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["fuzz_lane"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TARGET = load()
INPUTS = sorted((HERE / "corpus").iterdir())


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name)
def test_input_does_no_harm(path: Path) -> None:
    data = path.read_bytes()
    TARGET.fuzz(data)
    for choice in range(32):
        TARGET.fuzz(bytes((choice,)) + data[1:])


def test_neighbours_of_the_corpus_do_no_harm() -> None:
    chance = random.Random(20_261_123)
    inputs = [path.read_bytes() for path in INPUTS]
    for _ in range(500):
        TARGET.fuzz(TARGET.mutate(chance.choice(inputs), inputs, chance))


def test_there_is_a_corpus() -> None:
    assert len(INPUTS) >= 30
