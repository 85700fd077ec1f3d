"""How the neighbours of one host are: its device's counters, and what they answer."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from underpass.cli.terminal import json_line, prose, result, table
from underpass.cli.topologies import SCHEMA, load_network
from underpass.drivers.wireguard.configs import wanted_device
from underpass.drivers.wireguard.control import UapiControl, WgControl
from underpass.drivers.wireguard.device import Device, Peer, WantedPeer, active_key
from underpass.drivers.wireguard.health import HEARD_SECONDS, Code, Finding
from underpass.drivers.wireguard.place import Place, require_namespace
from underpass.drivers.wireguard.settings import WireGuardSettings
from underpass.drivers.wireguard.watch import PROBE_SECONDS, Watch

LOOK_SECONDS: Final = 10.0
"""A wrong key is told from a slow handshake after six."""

LISTEN_SECONDS: Final = HEARD_SECONDS + 1.0
"""Whoever seems stale may only answer no pings."""

EXIT_UNHEALTHY: Final = 5


async def tell_status(options: Mapping[str, str], *, as_json: bool) -> int:
    """Look, and tell; returns the exit code. Raises ``InterfaceRefused`` where none is up."""
    settings = WireGuardSettings.parse(options)
    require_namespace(settings.netns)
    topology, keyring = load_network(settings.topology, settings.keys)
    me = topology.host(settings.host)
    wanted = wanted_device(topology, keyring, me.name, resolved={})
    interface = settings.interface or f"upw-{topology.name}"
    with tempfile.TemporaryDirectory(prefix="up-") as directory:
        place = Place(Path(directory), dict(os.environ), settings.netns)
        control = WgControl(interface, place) if place.has("wg") else UapiControl(interface)
        watch = Watch(place, me.address.version)
        addresses = {host.name: host.address for host in topology.hosts.values()}
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            watch.begin(await control.read(), wanted.peers)
            while True:
                device = await control.read()
                findings = await watch.look(device, wanted.peers, addresses)
                all_live = all(finding.is_live for finding in findings.values())
                is_sure = all_live and not any(finding.is_guess for finding in findings.values())
                seems_stale = any(it.code is Code.STALE for it in findings.values())
                limit = LISTEN_SECONDS if seems_stale else LOOK_SECONDS
                if is_sure or loop.time() - began > limit:
                    break
                await asyncio.sleep(PROBE_SECONDS)
        finally:
            watch.close()
    rows = [_row(device, peer, findings[peer.host]) for peer in wanted.peers]
    if as_json:
        json_line({"schema": SCHEMA, "host": me.name, "interface": interface, "peers": rows})
        return 0 if all_live else EXIT_UNHEALTHY
    head = ("HOST", "STATE", "HANDSHAKE", "RECEIVED", "SENT")
    result(table(head, [_cells(row) for row in rows]))
    for row in rows:
        if row["detail"]:
            prose(f"{row['host']}: {row['detail']}; {row['hint']}")
    return 0 if all_live else EXIT_UNHEALTHY


def _row(device: Device, wanted: WantedPeer, finding: Finding) -> dict[str, Any]:
    peer = device.peers.get(active_key(device, wanted), Peer(wanted.key))
    age = time.time() - peer.last_handshake if peer.last_handshake else None
    return {
        "host": wanted.host,
        "state": str(finding.code),
        "detail": finding.detail,
        "hint": finding.hint,
        "handshake_age": None if age is None else round(max(0.0, age), 1),
        "received": peer.received,
        "sent": peer.sent,
    }


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    age = row["handshake_age"]
    return (
        str(row["host"]),
        str(row["state"]),
        "never" if age is None else f"{age:.0f} s ago",
        str(row["received"]),
        str(row["sent"]),
    )
