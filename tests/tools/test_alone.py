"""What is told of programs that run without us was measured by the tool that says so."""

from __future__ import annotations

import json
from pathlib import Path

from tools.engines.alone import BENCHES

DOCS = Path(__file__).parents[2] / "docs"


def test_every_program_that_the_tool_runs_alone_is_on_the_page() -> None:
    assert set(BENCHES) == set(json.loads((DOCS / "alone.json").read_text("utf-8")))
    engines = json.loads((DOCS / "conformance.json").read_text("utf-8"))["engines"]
    for name, bench in BENCHES.items():
        variant = f" ({bench.variant})" if bench.variant else ""
        assert name == f"{bench.engine}{variant}"
        assert name in engines
