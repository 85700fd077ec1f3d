"""Keeps what the conformance suite found about each engine: a pytest plugin.

    pytest -p underpass.testing.driver_record --conformance build/conformance.json

For every engine: its version, what became of each test of ``DriverSuite`` (worked, could not and
why, failed), and the seconds that were measured. The file is written at the end, also when tests
ran on several workers; the table in the documentation is made from it.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest

from underpass.testing.driver_bench import DriverBench
from underpass.testing.driver_suite import DriverSuite

_PROPERTY: Final = "driver-conformance"

SLOW_TESTS: Final = 240.0
"""Seconds that a test of times may take: two waits for a program that dials late."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--conformance FILE``."""
    parser.addoption("--conformance", metavar="FILE", help="write what drivers could do to FILE")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that wait for programs get the time for it, on one worker per engine."""
    for item in items:
        if _is_of_suite(item) and item.name.startswith("test_times_"):
            item.add_marker(pytest.mark.timeout(SLOW_TESTS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put what the bench knows on the report, which travels to whoever collects."""
    report = yield
    bench = getattr(item, "funcargs", {}).get("bench")
    if report.when == "call" and isinstance(bench, DriverBench) and _is_of_suite(item):
        told = {
            "engine": bench.engine,
            "variant": bench.variant,
            "version": bench.version,
            "measured": bench.measured,
            "test": getattr(item, "originalname", None) or item.name,
            **_outcome(item, report),
        }
        report.user_properties.append((_PROPERTY, json.dumps(told)))
    return report


class Collector:
    """What all reports told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.engines: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in one report."""
        for name, value in report.user_properties:
            if name == _PROPERTY:
                self.take(json.loads(str(value)))

    def take(self, told: dict[str, Any]) -> None:
        """Take in what one bench told."""
        name = f"{told['engine']} ({told['variant']})" if told["variant"] else told["engine"]
        engine = self.engines.setdefault(name, {"version": "", "tests": {}, "measured": {}})
        engine["version"] = engine["version"] or told["version"]
        engine["tests"][told["test"]] = {"outcome": told["outcome"], "why": told["why"]}
        engine["measured"] |= {
            name: None if seconds is None else round(seconds, 2)
            for name, seconds in told["measured"].items()
        }

    def pytest_sessionfinish(self) -> None:
        """Write the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"engines": self.engines}, indent=2, sort_keys=True)
        self.path.write_text(text + "\n")


def pytest_configure(config: pytest.Config) -> None:
    """Collect where the reports arrive: in the one process that is no worker."""
    path = config.getoption("--conformance")
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Collector(Path(path)))


def _is_of_suite(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and isinstance(item.instance, DriverSuite)


def _outcome(item: pytest.Item, report: pytest.TestReport) -> dict[str, str]:
    """A suite's own version of a test shows something less: it is told as a limit, in its words."""
    name = getattr(item, "originalname", None) or item.name
    own = getattr(type(getattr(item, "instance", None)), name, None)
    if report.outcome == "passed" and own is not getattr(DriverSuite, name, None):
        words = (getattr(own, "__doc__", None) or "its own test says what it does instead").split()
        return {"outcome": "limited", "why": " ".join(words)}
    return {"outcome": report.outcome, "why": _reason(report)}


def _reason(report: pytest.TestReport) -> str:
    if report.outcome != "skipped" or not isinstance(report.longrepr, tuple):
        return ""
    return str(report.longrepr[2]).removeprefix("Skipped: ")
