"""The package stays on its floor, and decides without touching anything."""

from __future__ import annotations

import ast
from pathlib import Path

import underpass.decide

ROOT = Path(underpass.decide.__file__).parent
STDLIB = {
    "__future__",
    "collections",
    "dataclasses",
    "datetime",
    "enum",
    "re",
    "shlex",
    "textwrap",
    "tomllib",
    "types",
    "typing",
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def test_it_imports_itself_the_model_and_what_cannot_act():
    for path in ROOT.glob("*.py"):
        for module in imports(path):
            ours = module.startswith(("underpass.decide", "underpass.model"))
            assert ours or module.partition(".")[0] in STDLIB, f"{path.name}: {module}"


def test_it_asks_no_clock():
    for path in ROOT.glob("*.py"):
        calls = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)]
        called = {n.func.attr for n in calls if isinstance(n.func, ast.Attribute)}
        assert not called & {"now", "today", "utcnow"}, path.name
