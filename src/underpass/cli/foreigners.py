"""How tunnels of others are shown: ``underpass list --foreign``."""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from underpass.api.places import require_private, runtime_dir
from underpass.cli.terminal import json_line, prose, result, table

if TYPE_CHECKING:
    from underpass.drivers.plans import ForeignTunnel
    from underpass.inventory.look import Inventory

SCHEMA = "underpass/v1/foreign"


def tell_foreign(as_json: bool) -> None:
    """Look, and print what was found."""
    found = _look()
    if as_json:
        json_line(
            {
                "schema": SCHEMA,
                "tunnels": [foreign_object(tunnel) for tunnel in found.tunnels],
                "silent": list(found.silent),
                "broken": [{"engine": engine, "why": why} for engine, why in found.broken],
            }
        )
        return
    if found.tunnels:
        result(foreign_page(found.tunnels))
    else:
        prose("no tunnel of others is seen here")
    for engine in found.silent:
        prose(f"silent: {engine} did not answer in time, so what it carries is not known")
    for engine, why in found.broken:
        prose(f"broken: {engine} could not be asked: {why}")


def foreign_object(tunnel: ForeignTunnel) -> dict[str, Any]:
    """One of them, for ``--json``; null is what is not known."""
    return {
        "engine": tunnel.engine,
        "where": tunnel.where,
        "pid": tunnel.pid or None,
        "exposes": tunnel.exposes,
        "public": tunnel.public or None,
        "owner": tunnel.owner or None,
        "since": round(tunnel.since, 3) or None,
        "risks": list(tunnel.risks),
    }


def foreign_page(tunnels: tuple[ForeignTunnel, ...]) -> str:
    """A line for each, and below them what should worry somebody. Pure."""
    rows = [
        (
            tunnel.engine,
            str(tunnel.pid or tunnel.where),
            tunnel.exposes or "-",
            tunnel.public or "-",
            tunnel.owner or "-",
            _moment(tunnel.since),
        )
        for tunnel in tunnels
    ]
    worries = [
        f"{tunnel.engine} {tunnel.pid or tunnel.where}: {risk}"
        for tunnel in tunnels
        for risk in tunnel.risks
    ]
    lines = [table(("ENGINE", "PID", "EXPOSES", "AT", "OWNER", "SINCE"), rows)]
    return "\n".join([*lines, "", *worries] if worries else lines)


def _moment(since: float) -> str:
    return f"{datetime.fromtimestamp(since, UTC):%Y-%m-%d %H:%M:%SZ}" if since else "-"


def _look() -> Inventory:
    from underpass.drivers.orphans import claim
    from underpass.inventory.look import look

    ours = runtime_dir()
    if ours.is_dir():
        require_private(ours)
    # Programs that drivers ask start here; should we be killed, the next of us takes it away.
    place = Path(tempfile.mkdtemp(prefix="engine-", dir=ours if ours.is_dir() else None))
    try:
        claim(place)
        return look(ours, place, dict(os.environ))
    finally:
        shutil.rmtree(place, ignore_errors=True)
