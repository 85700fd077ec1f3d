"""Steps with WireGuard: one topology file, its keys, and a tunnel at an address inside."""

from __future__ import annotations

from typing import Final

from underpass.decide.need import Need, Task, Traffic
from underpass.decide.opening import closing, open_step, options, seen
from underpass.decide.steps import HERE, Plan, Step, Target
from underpass.decide.way import GateOffer

SUBNET: Final = "10.77.0.0/24"
MOST_HOSTS: Final = 32
"""In the file that is shown; more are more of the same lines."""

_FILE: Final = "mesh.toml"
_EACH: Final = "on each machine"
_HUB: Final = "on the hub"


def _topology(need: Need) -> str:
    least = 2 if need.task is Task.REACH else 1
    others = min(max(need.machines - 1, least), MOST_HOSTS)
    hosts = "".join(f"\n[hosts.peer{number}]\n" for number in range(1, others + 1))
    return (
        f'[network]\nname = "mesh"\nshape = "hub"\nsubnet = "{SUBNET}"\nhub = "hub"\n'
        f'\n[hosts.hub]\nendpoint = "HUB:51820"\n{hosts}'
    )


def wireguard(need: Need, target: Target, offer: GateOffer) -> Plan:
    """One hub that others can dial, and the rest as its peers."""
    network = need.whole_network or need.traffic is Traffic.UDP
    opens = not network and not (need.task is Task.FLEET and need.names.origin is None)
    more = ("--open",) if network else ()
    up = ("underpass", "wg", "up", _FILE)
    run = [
        Step(file=_FILE, text=_topology(need), mode=0o644),
        Step(argv=("underpass", "wg", "keys", _FILE), note="private keys, in mesh.keys/"),
        Step(
            argv=("underpass", "wg", "pack", _FILE, "peer1", "peer1-pack"),
            note="for each host: bring its directory there by a safe way, and remove it here",
        ),
        Step(argv=(*up, "hub", *more), where=_HUB, note="as root; it is the witness for proofs"),
    ]
    if opens:
        run += _opened(need, target, offer)
    else:
        note = "as root, each with its own name"
        run.append(Step(argv=(*up, "peer1", *more), where="on the others", note=note))
    status = ("underpass", "wg", "status", _FILE, "peer1")
    run.append(Step(argv=status, where="on the others", note="exit code 5 unless all are live"))
    packed = ("underpass", "wg", "config", _FILE, "peer1", "--out", "peer1-pack")
    instead = (
        Step(argv=packed, note="a file for wg-quick, for a machine without underpass"),
        Step(argv=("wg-quick", "up", "./peer1-pack/peer1.conf"), where="on that machine"),
    )
    files = Step(note=f"delete {_FILE} and mesh.keys/", where=_EACH)
    ends = Step(note="Ctrl-C ends `underpass wg up`, its interface and its rules", where=_EACH)
    undo = (*closing(target), ends, files) if opens else (ends, files)
    return Plan(tuple(run), undo, instead)


def _opened(need: Need, target: Target, offer: GateOffer) -> list[Step]:
    where = "beside the service" if need.task is Task.REACH else HERE
    engine = (
        *("--via", f"wireguard:peer1@{_FILE}"),
        *options(port=target.port if target.port != "PORT" else ""),
    )
    opened = open_step(need, target, offer, engine, where=where)
    found = [opened, *seen(need, target)]
    if need.task is Task.REACH:
        # Whoever visits is a host of the network, too.
        words = ("underpass", "wg", "up", _FILE, "peer2")
        found.append(Step(argv=words, where="where it is needed", note="as root"))
    return found


PLANS: Final = {"wireguard": wireguard}
