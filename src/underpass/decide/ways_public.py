"""The ways that give a public address: ours and the vendors'."""

from __future__ import annotations

from typing import Final

from underpass.decide.need import Audience, Auth, Task, Traffic, Visitor
from underpass.decide.way import (
    EVERYBODY,
    HEADER_SENDERS,
    WITH_SOFTWARE,
    GateOffer,
    Way,
)

WEB: Final = frozenset({Traffic.HTTP, Traffic.MCP})
PUBLIC: Final = frozenset({Audience.PUBLIC})
EXPOSE: Final = frozenset({Task.EXPOSE})
PEOPLE: Final = frozenset({Visitor.BROWSER})
MCP: Final = frozenset({Visitor.HOSTED_MCP, Visitor.LOCAL_MCP})
LOGGED_IN: Final = HEADER_SENDERS | PEOPLE

_LEASE = "its lease always ends, at the latest after 366 days: renew it with `underpass renew`"
_INSPECTOR = (
    "the inspector takes port 4040 or a free one after it, and keeps bodies and Authorization "
    "headers: for long streams or secrets, add --inspect=false"
)
_SILENT_NGROK = (
    "its own SDK did not notice a frozen edge within 12 s when measured: probe the public address"
)
_NGROK_GATES = (
    GateOffer(Auth.IP, "restrict-ips in a traffic policy"),
    GateOffer(Auth.SSO, "oauth in a traffic policy: a browser login", PEOPLE),
    GateOffer(Auth.BASIC, "basic-auth in a traffic policy", LOGGED_IN),
    GateOffer(Auth.SIGNATURE, "verify-webhook in a traffic policy", frozenset({Visitor.WEBHOOK})),
)
_POLICY = (
    "gates belong into a traffic policy; --oauth, --basic-auth and --cidr-allow are deprecated"
)

RELAY: Final = Way(
    id="relay",
    engine="relay",
    title="our relay on a server of yours",
    suits="everything yours: gate, name, proofs, streams that outlive links",
    tasks=EXPOSE | {Task.FLEET},
    traffic=WEB,
    audiences=PUBLIC,
    visitors=EVERYBODY,
    visitor_sees="https://NAME.your-domain, with your certificate; 401 or 403 at the gate, and 503 "
    "with Retry-After while the origin's machine is away",
    setup_seconds=300,
    gates=(
        GateOffer(Auth.NONE, "--public, for at most 1 h"),
        GateOffer(Auth.TOKEN, "--gate bearer, a fresh 256-bit token", HEADER_SENDERS),
        GateOffer(Auth.BASIC, "--gate basic", LOGGED_IN),
        GateOffer(Auth.IP, "--gate ip:CIDR"),
        GateOffer(Auth.LINK, "--gate link: the address is the secret"),
    ),
    own_domain=True,
    own_server=True,
    stable_name=True,
    resumes=True,
    returns=True,
    unix_origins=True,
    driven=True,
    limits=(
        "you bring the server, its DNS wildcard and its certificate; one region, no company behind",
        "no login by OAuth or SAML yet, and no inspector yet",
        _LEASE,
    ),
)

RELAY_TCP: Final = Way(
    id="relay-tcp",
    engine="relay",
    title="our relay on a server of yours, with a public TCP port",
    suits="a TCP port of your own server, kept while links break",
    tasks=EXPOSE,
    traffic=frozenset({Traffic.TCP}),
    audiences=PUBLIC,
    visitors=WITH_SOFTWARE | {Visitor.LOCAL_MCP},
    visitor_sees="HOST:PORT of your server; a connection from another address is closed",
    setup_seconds=300,
    gates=(
        GateOffer(Auth.NONE, "--public, for at most 1 h"),
        GateOffer(Auth.IP, "--gate ip:CIDR"),
    ),
    own_domain=True,
    own_server=True,
    stable_name=True,
    encrypted=False,
    resumes=True,
    returns=True,
    unix_origins=True,
    driven=True,
    limits=(
        "the visitor's own bytes travel as they are to the relay: without TLS of their own they "
        "can be read on the way",
        _LEASE,
    ),
)

NGROK_FREE: Final = Way(
    id="ngrok-free",
    engine="ngrok",
    title="ngrok, free plan",
    suits="a public HTTPS name within a minute, with an inspector",
    tasks=EXPOSE,
    traffic=WEB | {Traffic.TCP},
    audiences=PUBLIC,
    visitors=EVERYBODY,
    visitor_sees="https://YOUR-DEV-DOMAIN; browsers get a warning page first, which programs "
    "avoid with the header ngrok-skip-browser-warning",
    setup_seconds=30,
    gates=(GateOffer(Auth.NONE, "none, the default"), *_NGROK_GATES),
    programs=("ngrok",),
    account="ngrok",
    third_party="ngrok",
    stable_name=True,
    returns=True,
    inspects=True,
    limits=(
        _POLICY,
        _INSPECTOR,
        _SILENT_NGROK,
    ),
)

NGROK_PAID: Final = Way(
    id="ngrok-paid",
    engine="ngrok",
    title="ngrok, paid plan",
    suits="a public HTTPS name within a minute, with an inspector, under your domain",
    tasks=EXPOSE,
    traffic=WEB | {Traffic.TCP},
    audiences=PUBLIC,
    visitors=EVERYBODY,
    visitor_sees="https at the domain you reserved, without a warning page",
    setup_seconds=30,
    gates=(GateOffer(Auth.NONE, "none, the default"), *_NGROK_GATES),
    programs=("ngrok",),
    account="ngrok",
    third_party="ngrok",
    own_domain=True,
    paid=True,
    stable_name=True,
    returns=True,
    inspects=True,
    limits=(_POLICY, _INSPECTOR, _SILENT_NGROK, "prices and quotas by plan: not recorded here"),
)

_PORTS = "its metrics take the first free port of 20241 to 20245; nothing here contends for 443"

CLOUDFLARE_QUICK: Final = Way(
    id="cloudflare-quick",
    engine="cloudflare",
    title="Cloudflare quick tunnel",
    suits="a public HTTPS name without an account",
    tasks=EXPOSE,
    traffic=WEB,
    audiences=PUBLIC,
    visitors=EVERYBODY,
    visitor_sees="https://SOME-WORDS.trycloudflare.com, another at each start",
    setup_seconds=20,
    gates=(GateOffer(Auth.NONE, "none: whoever learns the address gets in"),),
    programs=("cloudflared",),
    third_party="Cloudflare",
    streams=False,
    unix_origins=True,
    limits=(
        "for development only, no promise; event streams over GET arrive at the end",
        "will not start while ~/.cloudflared/config.yml names a tunnel",
        _PORTS,
    ),
)

CLOUDFLARE_NAMED: Final = Way(
    id="cloudflare-named",
    engine="cloudflare",
    title="Cloudflare Tunnel with Access",
    suits="lasting public names with a login in front, at a large edge",
    tasks=EXPOSE,
    traffic=WEB,
    audiences=PUBLIC,
    visitors=EVERYBODY,
    visitor_sees="https at your own host name; a login page for browsers, an OAuth challenge for "
    "MCP clients when Managed OAuth is on",
    setup_seconds=300,
    gates=(
        GateOffer(Auth.NONE, "none, until an Access policy stands"),
        GateOffer(
            Auth.SSO, "Access: a login for browsers, Managed OAuth for MCP clients", PEOPLE | MCP
        ),
        GateOffer(Auth.TOKEN, "an Access service token, in two headers", HEADER_SENDERS),
        GateOffer(Auth.IP, "an Access policy on addresses"),
    ),
    programs=("cloudflared",),
    account="cloudflare",
    third_party="Cloudflare",
    own_domain=True,
    stable_name=True,
    returns=True,
    unix_origins=True,
    limits=(
        "needs a zone of yours at Cloudflare",
        "an Access browser login in front of /mcp answers 302, which MCP clients cannot follow: "
        "use Managed OAuth, or bypass machine paths and gate only the human page",
        "originRequest.connectTimeout bounds the connect to the origin only, not slow tools: "
        "send an early byte or progress",
        "one cloudflared service a machine",
        _PORTS,
        "/ready stayed 200 for 60 s with a frozen edge when measured: probe the public address",
    ),
)

TAILSCALE_FUNNEL: Final = Way(
    id="tailscale-funnel",
    engine="tailscale",
    title="Tailscale mesh, with Funnel for chosen services",
    suits="a mesh whose machines show the internet only what you choose",
    tasks=EXPOSE | {Task.FLEET},
    traffic=WEB,
    audiences=PUBLIC,
    visitors=EVERYBODY,
    visitor_sees="https://MACHINE.TAILNET.ts.net; TLS ends on your machine, the name is in public "
    "certificate logs",
    setup_seconds=120,
    gates=(GateOffer(Auth.NONE, "none: Funnel has no gate, the service must have its own"),),
    programs=("tailscale",),
    account="tailscale",
    third_party="Tailscale",
    stable_name=True,
    returns=True,
    unix_origins=True,
    per_machine=True,
    limits=(
        "HTTPS and the funnel attribute must be allowed in the tailnet's policy, once, by a person",
        "no domain of your own",
        "what `--bg` set up survives reboots, without any process to be seen: take it down",
    ),
)

BORE_OWN: Final = Way(
    id="bore-own",
    engine="bore",
    title="bore on a server of yours",
    suits="the least that forwards TCP",
    tasks=EXPOSE,
    traffic=frozenset({Traffic.TCP, Traffic.HTTP}),
    audiences=PUBLIC,
    visitors=WITH_SOFTWARE | {Visitor.BROWSER, Visitor.LOCAL_MCP},
    visitor_sees="HOST:PORT of your server, plain: http:// without TLS",
    setup_seconds=60,
    gates=(GateOffer(Auth.NONE, "none; the shared secret guards opening tunnels, not visiting"),),
    programs=("bore",),
    own_server=True,
    stable_name=True,
    encrypted=False,
    limits=(
        "neither tunnel nor visitors are encrypted",
        "the shared secret guards opening tunnels, not visiting them",
        "it does not reconnect, and exits with code 0 when the server dies: restart it always, "
        "not on failure",
    ),
)

BORE_PUB: Final = Way(
    id="bore-pub",
    engine="bore",
    title="bore by the public bore.pub",
    suits="the least that forwards TCP, without a server of yours",
    tasks=EXPOSE,
    traffic=frozenset({Traffic.TCP, Traffic.HTTP}),
    audiences=PUBLIC,
    visitors=WITH_SOFTWARE | {Visitor.BROWSER, Visitor.LOCAL_MCP},
    visitor_sees="bore.pub:PORT, plain: http:// without TLS",
    setup_seconds=15,
    gates=(GateOffer(Auth.NONE, "none: whoever scans the ports gets in"),),
    programs=("bore",),
    third_party="bore.pub",
    encrypted=False,
    limits=("neither tunnel nor visitors are encrypted", "it does not reconnect"),
)

LOCALHOST_RUN: Final = Way(
    id="localhost-run",
    engine="ssh-service",
    title="localhost.run, by the ssh that is there",
    suits="a public HTTPS name from any machine that has ssh",
    tasks=EXPOSE,
    traffic=WEB,
    audiences=PUBLIC,
    visitors=EVERYBODY,
    visitor_sees="https://SOME-ID.lhr.life, which changes when the link is made again",
    setup_seconds=10,
    gates=(GateOffer(Auth.NONE, "none: whoever learns the address gets in"),),
    programs=("ssh",),
    third_party="localhost.run",
    limits=("TLS ends at the service: its operator can read what passes",),
)

PINGGY: Final = Way(
    id="pinggy",
    engine="ssh-service",
    title="pinggy, by the ssh that is there",
    suits="a public HTTPS name or TCP port from any machine that has ssh",
    tasks=EXPOSE,
    traffic=WEB | {Traffic.TCP},
    audiences=PUBLIC,
    visitors=EVERYBODY,
    visitor_sees="https://SOME-ID.a.free.pinggy.link, or a host and port for TCP",
    setup_seconds=15,
    gates=(
        GateOffer(Auth.NONE, "none, the default"),
        GateOffer(Auth.IP, "an address list as the remote command"),
    ),
    programs=("ssh",),
    third_party="pinggy",
    limits=(
        "TLS ends at the service: its operator can read what passes",
        "passwords and keys as gates would stand in the argument list of ssh: not advised",
    ),
)

PUBLIC_WAYS: Final = (
    NGROK_FREE,
    CLOUDFLARE_NAMED,
    CLOUDFLARE_QUICK,
    LOCALHOST_RUN,
    TAILSCALE_FUNNEL,
    RELAY,
    NGROK_PAID,
    PINGGY,
    BORE_OWN,
    RELAY_TCP,
    BORE_PUB,
)
"""In the order that decides when two are equally good: known and quick first."""
