"""The ways that strangers cannot dial: forwards, meshes, and our own reach."""

from __future__ import annotations

from typing import Final

from underpass.decide.gates import ADDRESSES, TCP, WEB, ours
from underpass.decide.need import Audience, Auth, Task, Traffic, Visitor
from underpass.decide.plans_wireguard import SUBNET
from underpass.decide.way import WITH_SOFTWARE, GateOffer, Way

BYTES: Final = frozenset({Traffic.TCP, Traffic.HTTP, Traffic.MCP})
ALL: Final = frozenset(Traffic)
PRIVATE: Final = frozenset({Audience.PRIVATE})
OWN: Final = frozenset({Visitor.OWN_MACHINE})
SSH_KEYS: Final = GateOffer(Auth.KEYS, "SSH keys", OWN)

_BY_HAND = (
    "by hand, interval 15 and count 3 notice a dead path within 60 s (interval x (count + 1)); "
    "without them it was not noticed within 170 s; underpass notices within 15 s"
)
_BYTES = frozenset({Traffic.TCP, Traffic.UDP})
_LOOPBACK_TCP = (
    "a tcp tunnel would have to be --public, for at most 1 h: what keeps strangers out here is the "
    "network itself"
)

RELAY_REACH: Final = Way(
    id="relay-reach",
    engine="relay",
    title="our relay with `underpass reach`, no public port",
    suits="a TCP service for those who hold a token, with no public port",
    tasks=frozenset({Task.EXPOSE, Task.REACH}),
    traffic=frozenset({Traffic.TCP}),
    audiences=frozenset(Audience),
    visitors=WITH_SOFTWARE,
    visitor_sees="a local port, made by `underpass reach` with the token; strangers find no port",
    setup_seconds=300,
    gates=(
        GateOffer(
            Auth.TOKEN,
            "the token of the tunnel, shown by `underpass reach`",
            WITH_SOFTWARE,
            ("--gate", "bearer"),
            TCP,
        ),
    ),
    own_domain=True,
    own_server=True,
    stable_name=True,
    resumes=True,
    returns=True,
    limits=(
        "each visitor runs `underpass reach`",
        "its lease always ends, at the latest after 366 days: renew it with `underpass renew`",
    ),
)

SSH_LOCAL: Final = Way(
    id="ssh-local",
    engine="ssh",
    title="`underpass reach` through a host with a login: ssh -L, kept",
    suits="a far port made local, encrypted, by what servers have anyway",
    tasks=frozenset({Task.REACH}),
    traffic=BYTES,
    audiences=PRIVATE,
    visitors=OWN,
    visitor_sees="a port on 127.0.0.1 of this machine",
    setup_seconds=10,
    gates=(SSH_KEYS,),
    programs=("ssh",),
    ssh_login=True,
    stable_name=True,
    returns=True,
    limits=(
        "connections in progress break when the link does; the local port stays, and new ones wait",
        "host keys must be known (`--engine-option trust=new` learns them once)",
        _BY_HAND,
    ),
)

SSH_KEPT: Final = Way(
    id="ssh-kept",
    engine="ssh",
    title="the same as a service of this machine, in the place of autossh",
    suits="a far port made local, and kept so",
    tasks=frozenset({Task.REACH}),
    traffic=BYTES,
    audiences=PRIVATE,
    visitors=OWN,
    visitor_sees="a port on 127.0.0.1 of this machine, back after sleep and restarts",
    setup_seconds=60,
    gates=(SSH_KEYS,),
    programs=("ssh",),
    ssh_login=True,
    stable_name=True,
    returns=True,
    limits=(
        "connections in progress break when the link does; the local port stays, and new ones wait",
        "autossh, where somebody insists: without ExitOnForwardFailure=yes it reconnects with no "
        "forward; -M PORT takes PORT+1 too and fails on restricted servers, so it stays 0; never "
        "-f under a supervisor",
        _BY_HAND,
    ),
)

SSH_REMOTE: Final = Way(
    id="ssh-remote",
    engine="ssh",
    title="ssh -R to a server of yours",
    suits="a port here, for those with a login there",
    tasks=frozenset({Task.EXPOSE}),
    traffic=BYTES,
    audiences=PRIVATE,
    visitors=OWN,
    visitor_sees="a port on the server's loopback address, for those who log in there",
    setup_seconds=10,
    gates=(
        GateOffer(
            Auth.KEYS,
            "SSH keys, and behind them --gate bearer",
            OWN,
            ("--gate", "bearer"),
            WEB,
        ),
        GateOffer(Auth.KEYS, "SSH keys", OWN, traffic=TCP, theirs=_LOOPBACK_TCP),
        *ours(),
    ),
    programs=("ssh",),
    ssh_login=True,
    stable_name=True,
    returns=True,
    inspects=True,
    limits=(
        "the server may hold a ghost's port for hours unless it sets ClientAliveInterval 15",
        "a remote port without 127.0.0.1 in front may silently lead to another service",
        _BY_HAND,
    ),
)

TAILSCALE_SERVE: Final = Way(
    id="tailscale-serve",
    engine="tailscale",
    title="Tailscale mesh, with serve and no public address",
    suits="machines anywhere as if on one network, with a login",
    tasks=frozenset({Task.EXPOSE, Task.REACH, Task.FLEET}),
    traffic=ALL,
    audiences=PRIVATE,
    visitors=OWN | {Visitor.BROWSER, Visitor.PROGRAM, Visitor.LOCAL_MCP},
    visitor_sees="http://MACHINE.TAILNET.ts.net, only from machines of the tailnet (https with "
    "--engine-option https=yes, where the tailnet has it)",
    setup_seconds=120,
    gates=(
        GateOffer(
            Auth.KEYS,
            "node keys and the tailnet's access rules, and behind them --gate bearer",
            words=("--gate", "bearer"),
            traffic=WEB,
        ),
        GateOffer(
            Auth.SSO,
            "the tailnet's login, and its access rules, and behind them --gate bearer",
            OWN | {Visitor.PROGRAM, Visitor.LOCAL_MCP},
            ("--gate", "bearer"),
            WEB,
        ),
        GateOffer(
            Auth.SSO,
            "the tailnet's login, and its access rules, and behind them --gate basic",
            words=("--gate", "basic"),
            traffic=WEB,
        ),
        GateOffer(
            Auth.KEYS,
            "node keys, and the tailnet's access rules",
            traffic=_BYTES,
            theirs=_LOOPBACK_TCP,
        ),
        GateOffer(
            Auth.SSO,
            "the tailnet's login, and its access rules",
            traffic=_BYTES,
            theirs=_LOOPBACK_TCP,
        ),
        *ours(addresses=True),
    ),
    inspects=True,
    programs=("tailscale",),
    account="tailscale",
    third_party="Tailscale",
    stable_name=True,
    resumes=True,
    returns=True,
    whole_network=True,
    per_machine=True,
    limits=(
        "every visitor is a machine of the tailnet",
        "decide on BackendState of `tailscale status --json`: it exits 0 in every state, and no "
        'text says "not connected"',
        "who is not root needs `sudo tailscale set --operator=$USER` once, and has no gate by "
        "address",
        "what `tailscale serve --bg` set up survives reboots, without any process to be seen; what "
        "underpass opens ends with it",
    ),
)

WIREGUARD: Final = Way(
    id="wireguard",
    engine="wireguard",
    title="WireGuard, from one topology file",
    suits="a network of your machines, at kernel speed, trusting nobody else",
    tasks=frozenset({Task.EXPOSE, Task.REACH, Task.FLEET}),
    traffic=ALL,
    audiences=PRIVATE,
    visitors=OWN,
    visitor_sees="an address of the private network, only from machines with a key",
    setup_seconds=300,
    gates=(
        GateOffer(
            Auth.KEYS,
            f"WireGuard keys: it vouches for addresses, so --gate ip:{SUBNET} asks for a key",
            OWN,
            ("--gate", f"ip:{SUBNET}"),
        ),
        *ours(),
        ADDRESSES,
    ),
    programs=("wg",),
    inspects=True,
    stable_name=True,
    resumes=True,
    returns=True,
    whole_network=True,
    per_machine=True,
    limits=(
        "needs root (or `--engine-option mode=rootless`, with less), and one machine that the "
        "others can dial by UDP",
        "silent by design: a wrong key shows only as a handshake that never comes; `underpass wg "
        "status` tells it from a blocked path",
        "`underpass wg up` lets in only what was opened; with --open, as for a whole network, and "
        "with a file for wg-quick, every port is open to the peers",
    ),
)

PRIVATE_WAYS: Final = (SSH_LOCAL, TAILSCALE_SERVE, SSH_KEPT, SSH_REMOTE, WIREGUARD, RELAY_REACH)
