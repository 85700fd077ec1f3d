from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "engines" / "build.py"
needs_go = pytest.mark.skipif(
    shutil.which("go") is None and not os.environ.get("CI"), reason="go is missing: install Go 1.25"
)


@pytest.fixture
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_engines", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def hello(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """A true Go engine that needs no registry."""
    folder = tmp_path / "source" / "hello"
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text("module hello.test/hello\n\ngo 1.21\n")
    (folder / "main.go").write_text('package main\n\nfunc main() { println("hello") }\n')
    monkeypatch.setattr(tool, "HERE", folder.parent)
    return tool.Engine("hello", "1", ("hello",), "go", "hello.test/hello", ("hello.test/hello",))


@needs_go
def test_an_engine_is_built_once_and_named_in_the_manifest(
    tool: ModuleType, hello: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "cache"
    for _ in range(2):
        tool.ensure((hello,), cache)
    assert capsys.readouterr().out.splitlines() == [
        "hello 1: building …",
        "hello 1: built",
        "hello 1: there",
    ]
    run = subprocess.run([cache / "bin" / "hello"], capture_output=True, text=True, check=True)
    assert run.stderr == "hello\n"
    manifest = json.loads((cache / "manifest.json").read_text())
    assert manifest["engines"]["hello"]["version"] == "1"
    assert sorted(path.name for path in cache.iterdir()) == ["bin", "manifest.json"]


@needs_go
@pytest.mark.parametrize("harm", ["spoiled", "removed"])
def test_a_harmed_program_is_built_again(
    tool: ModuleType, hello: object, tmp_path: Path, harm: str
) -> None:
    tool.ensure((hello,), tmp_path)
    program = tmp_path / "bin" / "hello"
    program.unlink()
    if harm == "spoiled":
        program.write_text("something else")
    assert not tool.is_built(hello, tool.read_manifest(tmp_path)["hello"], tmp_path)
    tool.ensure((hello,), tmp_path)
    assert tool.is_built(hello, tool.read_manifest(tmp_path)["hello"], tmp_path)


def test_an_engine_without_its_builder_is_named_as_missing(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = tool.Engine("ghost", "2", ("ghost",), "no-such-builder", "ghost")
    manifest = tool.ensure((engine,), tmp_path)
    assert manifest["ghost"]["missing"] == "no-such-builder is not installed"
    assert "ghost 2: MISSING: no-such-builder is not installed" in capsys.readouterr().out


@needs_go
def test_a_registry_that_cannot_give_an_engine_is_quoted(
    tool: ModuleType, hello: object, tmp_path: Path
) -> None:
    (tool.HERE / "hello" / "main.go").write_text('package main\n\nimport _ "absent.test/x"\n')
    manifest = tool.ensure((hello,), tmp_path)
    assert manifest["hello"]["missing"].startswith("go said: ")
    assert "absent.test/x" in manifest["hello"]["missing"]


def test_a_builder_that_fails_once_is_asked_once_more(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a registry is away for a moment."""
    stub = tmp_path / "tools" / "cargo"
    stub.parent.mkdir()
    stub.write_text(
        f'#!/bin/sh\ncd "{tmp_path}"\n[ -f asked ] || {{ touch asked; echo away; exit 1; }}\n'
        'for word; do root=$word; done; mkdir -p "$root/bin"; echo 1 > "$root/bin/ghost"\n'
    )
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stub.parent}{os.pathsep}{os.environ['PATH']}")
    engine = tool.Engine("ghost", "2", ("ghost",), "cargo", "ghost")
    assert "missing" not in tool.ensure((engine,), tmp_path / "cache")["ghost"]
    assert (tmp_path / "cache" / "bin" / "ghost").read_text() == "1\n"


def test_the_cache_can_be_moved_by_the_environment(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERPASS_ENGINES", str(tmp_path))
    assert tool.cache_folder() == tmp_path
    monkeypatch.delenv("UNDERPASS_ENGINES")
    assert tool.cache_folder() == Path.home() / ".cache" / "underpass" / "engines"


def test_go_engines_are_pinned_to_the_version_that_the_table_names(tool: ModuleType) -> None:
    for engine in tool.ENGINES:
        if engine.builder == "go":
            module = (SCRIPT.parent / engine.name / "go.mod").read_text()
            assert f"{engine.source} {engine.pin or f'v{engine.version}'}\n" in module
            assert (SCRIPT.parent / engine.name / "go.sum").is_file()


FAKE_NPM = """#!/bin/sh
# npm pack --silent NAME@VERSION --pack-destination FOLDER
mkdir -p package && printf '#!/bin/sh\\necho packed\\n' > package/ghost
tar czf "$5/ghost.tgz" package
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the packages are for Linux")
@pytest.mark.parametrize("pinned", [True, False])
def test_a_package_of_npm_is_taken_by_its_hash_and_by_no_other(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pinned: bool
) -> None:
    """``npm`` is a stand-in: the registry's answer is not what is judged here."""
    tools, cache = tmp_path / "tools", tmp_path / "cache"
    tools.mkdir()
    (tools / "npm").write_text(FAKE_NPM)
    (tools / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tools)
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "", "", "", "x86_64")))
    integrity = "sha512-AAAA"
    if pinned:
        # gzip writes the time: the same archive twice is one that was made once.
        words = ["npm", "pack", "--silent", "ghost@1", "--pack-destination", str(tools)]
        subprocess.run(words, check=True)
        archive = (tools / "ghost.tgz").read_bytes()
        (tools / "npm").write_text(f'#!/bin/sh\ncp {tools}/ghost.tgz "$5/"\n')
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
    engine = tool.Engine("ghost", "1", ("ghost",), "npm", "ghost", integrity=integrity)
    told = tool.ensure((engine,), cache)["ghost"]
    if pinned:
        run = subprocess.run([cache / "bin" / "ghost"], capture_output=True, text=True, check=True)
        assert run.stdout == "packed\n"
    else:
        assert "another hash than the pinned one" in str(told["missing"])
        assert not (cache / "bin" / "ghost").exists()
