"""Foreign clients from npm, installed as the lock file says, and the Node that they need.

    python -m tests.e2e.node_clients      # install all that tests use: `make clients`

Tests install what is missing themselves; beforehand there is no time limit to share with them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.e2e.stage import tool

NODE = Path(__file__).resolve().parent / "node"

WAIT_SECONDS = 300.0
"""For the registry: from nothing it takes a minute where much else is going on."""


def installed(where: Path = NODE) -> Path:
    """The directory of all npm clients, in a cache that survives clones."""
    lock = (where / "package-lock.json").read_bytes()
    base = Path(os.environ.get("UNDERPASS_CACHE_DIR", "~/.cache/underpass")).expanduser()
    home = base / f"e2e-node-{hashlib.sha256(lock).hexdigest()[:16]}"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(where / name, home / name)
            npm = (tool("npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts")
            done = subprocess.run(
                npm, cwd=home, capture_output=True, text=True, check=False, timeout=WAIT_SECONDS
            )
            if done.returncode != 0:
                raise RuntimeError(f"npm cannot install {where}: {done.stderr[-2_000:]}")
            (home / "complete").touch()
    return home


def node22(home: Path) -> str:
    """The Node that the newer clients need, which Debian's is too old for; where npm has none for
    the platform, the one on the path."""
    for found in (home / "node_modules").glob("node-*-*/bin/node"):
        return str(found)
    return tool("node")


def main() -> None:
    """Install all. What cannot be had is named and is no failure here: its tests say so, too."""
    if shutil.which("npm") is None:
        return
    tests = NODE.parents[1]
    for lock in sorted(tests.glob("*/**/node/package-lock.json")):
        try:
            told = str(installed(lock.parent))
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            told = f"MISSING: {error}"
        sys.stdout.write(f"{lock.parent.relative_to(tests)}: {told}\n")


if __name__ == "__main__":
    main()
