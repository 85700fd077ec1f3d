"""The real agent (npm's package of 2.3.41), so that nothing it does leaves this machine.

It looks up hosts of its updater whatever it is told. So it runs in a mount namespace of its own, in
which the only name server is one that is not there; the network, and its process id, stay.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.edges.bore import engines_bin

RESOLVER = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"


def need_agent() -> Path:
    """The agent; skips the test where there is none, or no namespaces. In CI that is a failure."""
    program = engines_bin() / "ngrok"
    if not program.is_file():
        _missing("no ngrok agent: make engines")
    if shutil.which("unshare") is None:
        _missing("no unshare: make packages")
    if subprocess.run([*_apart(), "true"], capture_output=True, check=False).returncode != 0:
        _missing("no mount namespaces: run the tests with sudo")
    return program


def install_agent(directory: Path) -> Path:
    """A directory for PATH whose ``ngrok`` is the agent, cut off from name servers."""
    program = need_agent()
    directory.mkdir(parents=True, exist_ok=True)
    resolver = directory / "resolv.conf"
    resolver.write_text(RESOLVER)
    place = os.path.realpath("/etc/resolv.conf")
    inner = f"mount --bind {shlex.quote(str(resolver))} {shlex.quote(place)}"
    wrapper = directory / "ngrok"
    words = shlex.join([*_apart(), "sh", "-c", f'{inner} && exec "$0" "$@"', str(program)])
    wrapper.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    wrapper.chmod(0o755)
    return directory


def _apart() -> list[str]:
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", "--mount", *rights]


def _missing(why: str) -> None:
    pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
