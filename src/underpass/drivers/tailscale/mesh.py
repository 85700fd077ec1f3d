"""What is wrong with a tailnet as one of its nodes sees it, and what to do about it. Pure.

A node that has to sign in was shut out by a rule: keys end, administrators remove. A node that is
offline is one whose machine, network or daemon is gone. A node that is online and does not answer
has a way that is blocked. The three need different people to do different things.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from underpass.drivers.mesh import Finding, MeshView, Step
from underpass.drivers.tailscale.state import Backend, Machine, Status

SOON: Final = timedelta(days=7)
"""A key that ends sooner is told."""

SIGN_IN: Final = "sign-in"
SWITCH_ON: Final = "switch-on"
WAIT: Final = "wait"
REBIND: Final = "rebind"


@dataclass(frozen=True, slots=True)
class Pong:
    """What came of pinging a peer."""

    ok: bool
    detail: str = ""
    """The way it took, or why there was none."""


@dataclass(frozen=True, slots=True)
class Network:
    """What ``tailscale netcheck`` found at this node; None where it was not asked."""

    udp: bool = True
    has_relay: bool = True


def view(
    status: Status,
    peers: Sequence[Machine | str],
    pongs: Mapping[str, Pong],
    *,
    network: Network | None = None,
    visits: Mapping[str, Pong] | None = None,
    now: datetime,
) -> MeshView:
    """The whole of it. A peer that is only a name is one that the tailnet does not know."""
    node = status.me.name or "this node"
    here = _here(status, node, now)
    if not here.ok:
        return MeshView(node, "here", (here,), (_for_this_node(status, node),))
    found = [(here, None), *(_peer(each, pongs) for each in peers)]
    lost = [finding.subject for finding, _ in found if not finding.ok]
    silent = [finding for finding, _ in found if finding.code == "path-blocked"]
    findings = [finding for finding, _ in found]
    steps = [step for _, step in found if step is not None]
    if silent:
        steps.insert(0, _rebind(node))
    if network is not None and not network.has_relay:
        findings.append(Finding(node, "no-relay", "no relay can be reached from this network"))
        steps.append(
            Step(
                "open-network",
                node,
                "let this network through to HTTPS (443) and STUN (UDP 3478)",
                ("tailscale", "netcheck"),
            )
        )
    elif network is not None and not network.udp and lost:
        findings.append(
            Finding(node, "udp-blocked", "UDP does not get out here: all goes by relays", ok=True)
        )
    for url, pong in (visits or {}).items():
        findings.append(Finding(url, "visited" if pong.ok else "no-answer", pong.detail, pong.ok))
        if not pong.ok:
            steps.append(Step("start-program", url, "start the program there, or see its log"))
    everywhere = len(peers) > 1 and len(lost) == len(peers)
    scope = "everywhere" if everywhere else ", ".join(lost)
    if not scope and not all(finding.ok for finding in findings):
        scope = ", ".join(finding.subject for finding in findings if not finding.ok)
    return MeshView(node, scope or "none", tuple(findings), tuple(steps))


def without_daemon(socket: str, why: str) -> MeshView:
    """The view where no tailscaled answers."""
    return MeshView(
        "this node",
        "here",
        (Finding("this node", "daemon-away", f"no tailscaled answers at {socket}: {why}"),),
        (
            Step(
                "start-daemon",
                "this node",
                "start tailscaled",
                ("sudo", "systemctl", "start", "tailscaled"),
            ),
        ),
    )


def chosen(status: Status, names: Sequence[str]) -> list[Machine | str]:
    """The peers that ``names`` mean, by name, first label or address; all for none."""
    if not names:
        return list(status.peers)
    known = {
        word: peer
        for peer in status.peers
        for word in (peer.name, peer.name.partition(".")[0], *(peer.addresses or []))
    }
    return [known.get(name.rstrip(".").lower(), name) for name in names]


def _here(status: Status, node: str, now: datetime) -> Finding:
    state = status.backend
    if state is Backend.RUNNING:
        ends = _when(status.me.key_expiry)
        if ends is not None and ends - now < SOON:
            detail = f"in the tailnet; its key ends {ends:%Y-%m-%d %H:%M} UTC"
            return Finding(node, "key-ends-soon", detail, ok=True)
        return Finding(node, "node-running", "in the tailnet", ok=True)
    if state is Backend.NEEDS_LOGIN:
        if status.me.expired or (_when(status.me.key_expiry) or now) < now:
            return Finding(node, "node-key-expired", "its key has expired: it has to sign in again")
        return Finding(node, "login-needed", "it is signed out: it has to sign in")
    words = {
        Backend.STOPPED: ("node-stopped", "it is switched off"),
        Backend.NEEDS_APPROVAL: ("approval-needed", "it waits for the tailnet's administrator"),
        Backend.STARTING: ("node-starting", "it is starting"),
        Backend.NO_STATE: ("node-starting", "it is starting"),
        Backend.OTHER_USER: ("node-in-use", "another user of this machine holds it"),
    }
    code, detail = words.get(state, ("node-unknown", f"unknown state {status.backend_state[:40]}"))
    return Finding(node, code, detail)


def _for_this_node(status: Status, node: str) -> Step:
    state = status.backend
    if state is Backend.NEEDS_LOGIN:
        what = "sign it in again: with an auth key, or in a browser; its connections are cut"
        return Step(SIGN_IN, node, what, ("sudo", "tailscale", "up", "--force-reauth"), True)
    if state is Backend.STOPPED:
        return Step(SWITCH_ON, node, "switch it on", ("sudo", "tailscale", "up"), True)
    if state in (Backend.STARTING, Backend.NO_STATE):
        return Step(WAIT, node, "wait until it has started", ("tailscale", "status"), True)
    if state is Backend.NEEDS_APPROVAL:
        return Step("approve", node, "approve it on the tailnet's page of machines")
    return Step("look", node, "see what it says", ("tailscale", "status", "--json"))


def _peer(peer: Machine | str, pongs: Mapping[str, Pong]) -> tuple[Finding, Step | None]:
    if isinstance(peer, str):
        detail = "this tailnet has no node of that name, or does not let us see it"
        what = "sign it in there, or look at the tailnet's rules"
        step = Step("sign-in-there", peer, what, ("sudo", "tailscale", "up"))
        return Finding(peer, "peer-unknown", detail), step
    name = peer.name
    if peer.expired:
        what = "sign it in again there: this cannot be done from here"
        words = ("sudo", "tailscale", "up", "--force-reauth")
        detail = "its key has expired: a rule, not the network, keeps it out"
        return Finding(name, "peer-key-expired", detail), Step("sign-in-there", name, what, words)
    pong = pongs.get(name, Pong(False, "it was not pinged"))
    if pong.ok:
        return Finding(name, "peer-reached", pong.detail, ok=True), None
    if not peer.online:
        seen = _when(peer.last_seen)
        when = f", last seen {seen:%Y-%m-%d %H:%M} UTC" if seen is not None else ""
        what = "start the machine, its network or its tailscaled: come there another way"
        words = ("sudo", "systemctl", "restart", "tailscaled")
        detail = f"offline{when}: the machine, its network or its daemon is gone"
        return Finding(name, "peer-offline", detail), Step("restart-there", name, what, words)
    return Finding(name, "path-blocked", f"online, but does not answer: {pong.detail}"), None


def _rebind(node: str) -> Step:
    what = "open new sockets and look for ways anew; connections go on"
    return Step(REBIND, node, what, ("sudo", "tailscale", "debug", "rebind"), True)


def _when(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None if moment.year < 1970 else moment.astimezone(UTC)
