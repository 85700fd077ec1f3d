"""Foreign clients from npm, installed as the lock file says, and the Node that they need."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.e2e.stage import tool

NODE = Path(__file__).resolve().parent / "node"


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
            subprocess.run(npm, cwd=home, check=True, capture_output=True, timeout=150)
            (home / "complete").touch()
    return home


def node22(home: Path) -> str:
    """The Node that the newer clients need, which Debian's is too old for; where npm has none for
    the platform, the one on the path."""
    for found in (home / "node_modules").glob("node-*-*/bin/node"):
        return str(found)
    return tool("node")
