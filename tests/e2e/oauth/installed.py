"""npm packages by their lock file, in a cache that survives clones."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.e2e.stage import tool


def installed(where: Path) -> Path:
    """The directory with the packages that ``where/package-lock.json`` names."""
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
