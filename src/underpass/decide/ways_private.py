"""The ways that strangers cannot dial: forwards, meshes, and our own reach."""

from __future__ import annotations

from typing import Final

from underpass.decide.need import Audience, Auth, Task, Traffic, Visitor
from underpass.decide.way import WITH_SOFTWARE, GateOffer, Way

BYTES: Final = frozenset({Traffic.TCP, Traffic.HTTP, Traffic.MCP})
ALL: Final = frozenset(Traffic)
PRIVATE: Final = frozenset({Audience.PRIVATE})
OWN: Final = frozenset({Visitor.OWN_MACHINE})
SSH_KEYS: Final = GateOffer(Auth.KEYS, "SSH keys", OWN)

_BOTH_ALIVE = (
    "interval 15 and count 3 notice a dead path within 60 s (interval x (count + 1)); without them "
    "it was not noticed within 170 s"
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
    gates=(GateOffer(Auth.TOKEN, "the token of the tunnel, shown by `underpass reach`"),),
    own_domain=True,
    own_server=True,
    stable_name=True,
    resumes=True,
    returns=True,
    unix_origins=True,
    driven=True,
    limits=(
        "each visitor runs `underpass reach`",
        "its lease always ends, at the latest after 366 days: renew it with `underpass renew`",
    ),
)

SSH_LOCAL: Final = Way(
    id="ssh-local",
    engine="ssh",
    title="ssh -L through a host with a login",
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
    limits=(
        "it ends with the link: after sleep, start it again",
        "the local port accepts also while the far service is down: test with real bytes",
        _BOTH_ALIVE,
    ),
)

SSH_KEPT: Final = Way(
    id="ssh-kept",
    engine="ssh",
    title="autossh, an ssh -L that comes back",
    suits="a far port made local, and kept so",
    tasks=frozenset({Task.REACH}),
    traffic=BYTES,
    audiences=PRIVATE,
    visitors=OWN,
    visitor_sees="a port on 127.0.0.1 of this machine, back after sleep and restarts",
    setup_seconds=60,
    gates=(SSH_KEYS,),
    programs=("ssh", "autossh"),
    ssh_login=True,
    stable_name=True,
    returns=True,
    limits=(
        "connections in progress break when the link does",
        "without ExitOnForwardFailure=yes autossh reconnects with no forward; -M PORT takes "
        "PORT+1 too and fails on restricted servers, so it stays 0; never -f under a supervisor",
        _BOTH_ALIVE,
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
    gates=(SSH_KEYS,),
    programs=("ssh",),
    ssh_login=True,
    stable_name=True,
    limits=(
        "it ends with the link, and the server may hold the port for hours unless it sets "
        "ClientAliveInterval",
        "a remote port without 127.0.0.1 in front may silently lead to another service",
        _BOTH_ALIVE,
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
    visitor_sees="https://MACHINE.TAILNET.ts.net, only from machines of the tailnet",
    setup_seconds=120,
    gates=(
        GateOffer(Auth.SSO, "the tailnet's login, and its access rules"),
        GateOffer(Auth.KEYS, "node keys, and the tailnet's access rules"),
    ),
    programs=("tailscale",),
    account="tailscale",
    third_party="Tailscale",
    stable_name=True,
    resumes=True,
    returns=True,
    whole_network=True,
    unix_origins=True,
    per_machine=True,
    limits=(
        "every visitor is a machine of the tailnet",
        "decide on BackendState of `tailscale status --json`: it exits 0 in every state, and no "
        'text says "not connected"',
        "what `--bg` set up survives reboots, without any process to be seen: take it down",
    ),
)

WIREGUARD: Final = Way(
    id="wireguard",
    engine="wireguard",
    title="WireGuard, keys by hand",
    suits="a network of your machines, at kernel speed, trusting nobody else",
    tasks=frozenset({Task.EXPOSE, Task.REACH, Task.FLEET}),
    traffic=ALL,
    audiences=PRIVATE,
    visitors=OWN,
    visitor_sees="an address of the private network, only from machines with a key",
    setup_seconds=600,
    gates=(GateOffer(Auth.KEYS, "WireGuard keys", OWN),),
    programs=("wg",),
    stable_name=True,
    resumes=True,
    returns=True,
    whole_network=True,
    per_machine=True,
    limits=(
        "needs root, and one machine that the others can dial by UDP",
        "silent by design: a wrong key shows only as a handshake that never comes",
        "every port of a machine is open to the peers unless a firewall says otherwise",
    ),
)

PRIVATE_WAYS: Final = (SSH_LOCAL, TAILSCALE_SERVE, SSH_KEPT, SSH_REMOTE, WIREGUARD, RELAY_REACH)
