"""The ways that give a public address: ours and the vendors'."""

from __future__ import annotations

from typing import Final

from underpass.decide.gates import ADDRESSES, OPEN, PEOPLE, TCP, WEB, ours
from underpass.decide.need import Audience, Auth, Task, Traffic, Visitor
from underpass.decide.plans_cloudflare import ACCESS
from underpass.decide.way import EVERYBODY, WITH_SOFTWARE, GateOffer, Way

PUBLIC: Final = frozenset({Audience.PUBLIC})
EXPOSE: Final = frozenset({Task.EXPOSE})

_LEASE = "its lease always ends, at the latest after 366 days: renew it with `underpass renew`"
_BARE_BYTES = (
    "the visitor's own bytes travel as they are to the edge: without TLS of their own they can be "
    "read on the way"
)
_NO_ADDRESSES = "it tells nobody's address, so there is no gate by address"
_READ_BY_SERVICE = "TLS ends at the service: its operator can read what passes, tokens too"
_LISTED = "an address list as the remote command"
_TELLS_NOBODY = "pinggy tells nobody's address, so only its own edge can judge them"
_CHANGES = "the address may change with every reconnect; `underpass watch` tells it"
_PLAIN = "neither tunnel nor visitors are encrypted: whoever listens reads tokens, too"
_NGROK_EDGE = (
    GateOffer(
        Auth.SSO,
        "oauth in a traffic policy: a login page at ngrok's edge",
        PEOPLE,
        traffic=WEB,
        theirs="a login page for people is ngrok's own, and no gate of ours stands behind it",
    ),
    OPEN,
)
_NGROK_TCP_EDGE = (
    GateOffer(
        Auth.IP,
        "restrict-ips in a traffic policy",
        traffic=TCP,
        theirs="ngrok tells no address of a tcp visitor, so only its own edge can judge them",
    ),
    OPEN,
)
_NGROK_AGENT = (
    "agents 3.16 or later, or the Python SDK; the agent's own API takes a free loopback port "
    "(not 4040), and its store of requests stays off: `underpass requests` shows them"
)
_NGROK_LIMITS = (
    "its edge flags --oauth, --basic-auth and --cidr-allow are deprecated: gates of ours, or a "
    "traffic policy",
    _NGROK_AGENT,
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
    gates=(*ours(addresses=True, oauth="lasting", certificates=True), OPEN),
    inspects=True,
    own_domain=True,
    own_server=True,
    stable_name=True,
    resumes=True,
    returns=True,
    limits=(
        "you bring the server, its DNS wildcard and its certificate; one region, no company behind",
        "no SAML; people log in by an OpenID Connect provider (--oauth-provider) or the owner's "
        "word (`underpass approve`)",
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
    gates=(ADDRESSES, OPEN),
    own_domain=True,
    own_server=True,
    stable_name=True,
    encrypted=False,
    resumes=True,
    returns=True,
    limits=(_BARE_BYTES, _LEASE),
)

NGROK_FREE: Final = Way(
    id="ngrok-free",
    engine="ngrok",
    title="ngrok, free plan",
    suits="a public HTTPS name within a minute, which stays the same",
    tasks=EXPOSE,
    traffic=WEB,
    audiences=PUBLIC,
    visitors=EVERYBODY,
    visitor_sees="https://YOUR-DEV-DOMAIN; browsers get a warning page first, which programs "
    "avoid with the header ngrok-skip-browser-warning",
    setup_seconds=30,
    gates=(*ours(addresses=True, oauth="lasting"), *_NGROK_EDGE),
    programs=("ngrok",),
    account="ngrok",
    third_party="ngrok",
    stable_name=True,
    returns=True,
    inspects=True,
    limits=_NGROK_LIMITS,
)

NGROK_PAID: Final = Way(
    id="ngrok-paid",
    engine="ngrok",
    title="ngrok, paid plan",
    suits="a public HTTPS name within a minute, under your domain",
    tasks=EXPOSE,
    traffic=WEB,
    audiences=PUBLIC,
    visitors=EVERYBODY,
    visitor_sees="https at the domain you reserved, without a warning page",
    setup_seconds=30,
    gates=(*ours(addresses=True, oauth="lasting", certificates=True), *_NGROK_EDGE),
    programs=("ngrok",),
    account="ngrok",
    third_party="ngrok",
    own_domain=True,
    paid=True,
    stable_name=True,
    returns=True,
    inspects=True,
    limits=(*_NGROK_LIMITS, "prices and quotas by plan: not recorded here"),
)

NGROK_TCP: Final = Way(
    id="ngrok-tcp",
    engine="ngrok",
    title="ngrok, a TCP address of the free plan",
    suits="a public TCP port within a minute, without a server of yours",
    tasks=EXPOSE,
    traffic=TCP,
    audiences=PUBLIC,
    visitors=WITH_SOFTWARE | {Visitor.LOCAL_MCP},
    visitor_sees="N.tcp.ngrok.io:PORT, another at each start",
    setup_seconds=30,
    gates=_NGROK_TCP_EDGE,
    programs=("ngrok",),
    account="ngrok",
    third_party="ngrok",
    encrypted=False,
    limits=(_BARE_BYTES, _NGROK_AGENT),
)

NGROK_TCP_RESERVED: Final = Way(
    id="ngrok-tcp-reserved",
    engine="ngrok",
    title="ngrok, paid plan, with a reserved TCP address",
    suits="a public TCP port that stays, without a server of yours",
    tasks=EXPOSE,
    traffic=TCP,
    audiences=PUBLIC,
    visitors=WITH_SOFTWARE | {Visitor.LOCAL_MCP},
    visitor_sees="N.tcp.ngrok.io:PORT, which you reserved",
    setup_seconds=30,
    gates=_NGROK_TCP_EDGE,
    programs=("ngrok",),
    account="ngrok",
    third_party="ngrok",
    paid=True,
    stable_name=True,
    returns=True,
    encrypted=False,
    limits=(_BARE_BYTES, _NGROK_AGENT, "prices and quotas by plan: not recorded here"),
)

_PORTS = (
    "a cloudflared of another's takes the first free port of 20241 to 20245 for its metrics; "
    "nothing here contends for 443"
)
_NO_ORIGIN_TIMEOUT = (
    "originRequest.connectTimeout bounds the connect to the origin only, not slow tools: send an "
    "early byte or progress"
)

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
    gates=(*ours(addresses=True, oauth="changing"), OPEN),
    programs=("cloudflared",),
    third_party="Cloudflare",
    streams=False,
    inspects=True,
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
    visitor_sees="https at your own host name; with Access a login page for browsers, with "
    "--gate oauth a challenge that MCP clients can follow",
    setup_seconds=300,
    gates=(
        *ours(addresses=True, oauth="lasting"),
        GateOffer(
            Auth.SSO,
            "Access, a login page at the edge, and --gate link behind it",
            PEOPLE,
            (
                *("--engine-option", f"{ACCESS}@YOUR.DOMAIN", "--gate", "link"),
                *("--engine-option", "access-token-file=~/access.token"),
            ),
            WEB,
        ),
        OPEN,
    ),
    inspects=True,
    programs=("cloudflared",),
    account="cloudflare",
    third_party="Cloudflare",
    own_domain=True,
    stable_name=True,
    returns=True,
    limits=(
        "needs a zone of yours at Cloudflare",
        "an Access browser login in front of /mcp answers 302, which MCP clients cannot follow: "
        "use --gate oauth (or Cloudflare's Managed OAuth), and Access for pages of people only",
        _NO_ORIGIN_TIMEOUT,
        "one cloudflared service a machine, where it is installed as one; here it is none",
        "tcp only with --public, and visitors run `cloudflared access tcp`",
        _PORTS,
        "/ready stayed 200 for 60 s with a frozen edge when measured: proofs go through the public "
        "address",
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
    gates=(*ours(addresses=True, oauth="lasting"), OPEN),
    inspects=True,
    programs=("tailscale",),
    account="tailscale",
    third_party="Tailscale",
    stable_name=True,
    returns=True,
    per_machine=True,
    limits=(
        "HTTPS and the funnel attribute must be allowed in the tailnet's policy, once, by a person",
        "no domain of your own",
        "gates by address only as root, since only root gives tailscaled a Unix socket to dial",
        "what `tailscale funnel --bg` set up survives reboots, without any process to be seen; "
        "what underpass opens ends with it",
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
    gates=(*ours(), OPEN),
    own_server=True,
    stable_name=True,
    encrypted=False,
    returns=True,
    inspects=True,
    limits=(
        _PLAIN,
        "the shared secret guards opening tunnels, not visiting them",
        "bore itself never reconnects, and exits with code 0 when its server dies: both ends are "
        "to be restarted always; underpass restarts this one",
        _NO_ADDRESSES,
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
    gates=(*ours(), OPEN),
    third_party="bore.pub",
    encrypted=False,
    inspects=True,
    limits=(_PLAIN, "the port changes when it is started anew", _NO_ADDRESSES),
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
    gates=(*ours(oauth="changing"), OPEN),
    programs=("ssh",),
    third_party="localhost.run",
    inspects=True,
    limits=(_READ_BY_SERVICE, _NO_ADDRESSES, _CHANGES),
)

PINGGY: Final = Way(
    id="pinggy",
    engine="ssh-service",
    title="pinggy, by the ssh that is there",
    suits="a public HTTPS name from any machine that has ssh, also where only port 443 is let out",
    tasks=EXPOSE,
    traffic=WEB,
    audiences=PUBLIC,
    visitors=EVERYBODY,
    visitor_sees="https://SOME-ID.a.free.pinggy.link, another at each start",
    setup_seconds=15,
    gates=(
        *ours(oauth="changing"),
        GateOffer(Auth.IP, _LISTED, traffic=WEB, theirs=_TELLS_NOBODY),
        OPEN,
    ),
    programs=("ssh",),
    third_party="pinggy",
    inspects=True,
    limits=(
        _READ_BY_SERVICE,
        _CHANGES,
        "passwords and keys as gates of its own would stand in the argument list of ssh: not "
        "advised, gates of ours take their place",
    ),
)

PINGGY_TCP: Final = Way(
    id="pinggy-tcp",
    engine="ssh-service",
    title="pinggy's TCP, by the ssh that is there",
    suits="a public TCP port from any machine that has ssh",
    tasks=EXPOSE,
    traffic=TCP,
    audiences=PUBLIC,
    visitors=WITH_SOFTWARE | {Visitor.LOCAL_MCP},
    visitor_sees="a host and port of pinggy's, another at each start",
    setup_seconds=15,
    gates=(
        GateOffer(Auth.IP, _LISTED, traffic=TCP, theirs=_TELLS_NOBODY),
        GateOffer(
            Auth.NONE,
            "none, the default",
            traffic=TCP,
            theirs="underpass carries HTTP only by the services of ssh",
        ),
    ),
    programs=("ssh",),
    third_party="pinggy",
    encrypted=False,
    limits=(_BARE_BYTES, _CHANGES),
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
    NGROK_TCP,
    PINGGY_TCP,
    BORE_OWN,
    RELAY_TCP,
    NGROK_TCP_RESERVED,
    BORE_PUB,
)
"""In the order that decides when two are equally good: known and quick first."""
