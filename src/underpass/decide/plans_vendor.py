"""Steps with the vendors' own programs, as their command lines were in late 2026."""

from __future__ import annotations

from typing import Final

from underpass.decide.need import Auth, Need, Task, Traffic
from underpass.decide.steps import CTRL_C, HERE, Plan, Step, Target, addresses, is_bytes, is_gated

_POLICIES: Final = {
    Auth.IP: """\
on_http_request:
  - actions:
      - type: restrict-ips
        config:
          enforce: true
          allow:
            - {addresses}
""",
    Auth.BASIC: """\
on_http_request:
  - actions:
      - type: basic-auth
        config:
          credentials:
            - USER:PASSWORD
""",
    Auth.SSO: """\
on_http_request:
  - actions:
      - type: oauth
        config:
          provider: google
  - expressions:
      - "!actions.ngrok.oauth.identity.email.endsWith('@DOMAIN')"
    actions:
      - type: deny
""",
    Auth.SIGNATURE: """\
on_http_request:
  - actions:
      - type: verify-webhook
        config:
          provider: PROVIDER
          secret: SECRET
""",
}

_POLICY_FILE: Final = "ngrok-policy.yml"


def ngrok(need: Need, target: Target) -> Plan:
    """The agent, with a traffic policy where a gate is wanted."""
    steps: list[Step] = []
    words = ["ngrok", "tcp", target.address] if is_bytes(need) else ["ngrok", "http", target.url]
    if target.names.hostname and not is_bytes(need):
        words += ["--url", f"https://{target.hostname}"]
    if need.auth is not None and need.auth in _POLICIES:
        text = _POLICIES[need.auth].format(addresses=addresses(need))
        if is_bytes(need):
            text = text.replace("on_http_request", "on_tcp_connect")
        steps.append(Step(file=_POLICY_FILE, text=text))
        words += ["--traffic-policy-file", _POLICY_FILE]
    if need.streaming and not need.inspect:
        words.append("--inspect=false")
    steps.append(Step(argv=tuple(words), environment=("NGROK_AUTHTOKEN",)))
    undo = (
        CTRL_C,
        Step(
            argv=("ngrok", "api", "tunnel-sessions", "stop", "ID"),
            environment=("NGROK_API_KEY",),
            note="from elsewhere, with an id of `ngrok api tunnel-sessions list`; there is no "
            "`ngrok api tunnels delete`",
        ),
    )
    return Plan(tuple(steps), undo)


def cloudflare_quick(need: Need, target: Target) -> Plan:
    """No account, another name each time."""
    return Plan((Step(argv=(*_CLOUDFLARED, "--url", target.url)),), (CTRL_C,))


_CLOUDFLARED: Final = ("cloudflared", "tunnel", "--no-autoupdate")
_CONFIG: Final = "cloudflared.yml"


def cloudflare_named(need: Need, target: Target) -> Plan:
    """A named tunnel: created, routed, tried, gated; in that order, so that faults tell apart."""
    if need.unattended:
        return _cloudflare_unattended(need, target)
    config = (
        f"tunnel: {target.label}\n"
        "ingress:\n"
        f"  - hostname: {target.hostname}\n"
        f"    service: {target.url}\n"
        "  - service: http_status:404\n"
    )
    steps = [
        Step(argv=("cloudflared", "tunnel", "login"), note="once; a browser login"),
        Step(argv=("cloudflared", "tunnel", "create", target.label)),
        Step(file=_CONFIG, text=config),
        Step(
            argv=("cloudflared", "tunnel", "route", "dns", target.label, target.hostname),
            note="refuses when a record of that name exists",
        ),
        Step(argv=(*_CLOUDFLARED, "--config", _CONFIG, "run", target.label)),
    ]
    if is_gated(need):
        steps += [
            Step(
                argv=("curl", "-v", f"https://{target.hostname}/health"),
                note="before the gate, so that a fault of the tunnel is not taken for one of the "
                "gate; until the gate stands, everybody may call: let the origin serve nothing "
                "but this",
            ),
            Step(note=_access(need, target)),
        ]
    undo = (
        CTRL_C,
        Step(
            argv=("cloudflared", "tunnel", "cleanup", target.label),
            note="forget connections of a killed connector",
        ),
        Step(argv=("cloudflared", "tunnel", "delete", target.label)),
        Step(note=f"delete the DNS record {target.hostname} and the Access application by hand"),
    )
    return Plan(tuple(steps), undo)


def _cloudflare_unattended(need: Need, target: Target) -> Plan:
    made = f"in the dashboard, make a tunnel with the public hostname {target.hostname}"
    steps = [
        Step(note=f"{made} for {target.url}, and keep its token in a file of mode 0600"),
        Step(argv=(*_CLOUDFLARED, "run"), environment=("TUNNEL_TOKEN_FILE",)),
    ]
    if is_gated(need):
        steps.insert(1, Step(note=_access(need, target)))
    undo = Step(note=f"delete the tunnel, the record {target.hostname} and the application there")
    return Plan(tuple(steps), (CTRL_C, undo))


def _access(need: Need, target: Target) -> str:
    made = f"in the dashboard, make an Access application for {target.hostname}"
    if need.auth is Auth.TOKEN:
        return f"{made} with a Service Auth policy, and a service token for each caller"
    if need.auth is Auth.IP:
        return f"{made} with a Bypass policy for the addresses {addresses(need)} and no other"
    rule = "a policy that allows your people"
    if need.traffic is Traffic.MCP:
        return f"{made} with {rule}, and switch Managed OAuth on: MCP clients cannot follow a 302"
    return f"{made} with {rule}"


def _joined(need: Need) -> tuple[Step, ...]:
    key = ("--auth-key=file:tailscale-auth-key",) if need.unattended else ()
    where = "on each machine" if need.machines > 1 or need.task is not Task.EXPOSE else HERE
    return (
        Step(argv=("tailscale", "up", *key, "--timeout", "5m"), where=where),
        Step(
            argv=("tailscale", "status", "--json"),
            where=where,
            note='joined when BackendState is "Running"',
        ),
    )


_LEFT: Final = Step(argv=("tailscale", "down"), note="leave the network, where it is not needed")


def _tailscale(verb: str, need: Need, target: Target) -> Plan:
    # In the foreground it ends with its terminal; only what is to last is left to the daemon.
    background = ("--bg",) if need.seconds is None else ()
    where = "beside the service" if need.task is Task.REACH else HERE
    door = (f"--tcp={target.port}",) if is_bytes(need) else ("--https=443",)
    kept = (*door, f"tcp://{target.address}") if is_bytes(need) else (target.url,)
    undo = Step(
        argv=("tailscale", verb, *door, "off"), where=where, note="or Ctrl-C in the foreground"
    )
    serving = Step(argv=("tailscale", verb, *background, *kept), where=where)
    return Plan((*_joined(need), serving), (undo, _LEFT))


def tailscale_serve(need: Need, target: Target) -> Plan:
    """Inside the tailnet."""
    if need.whole_network or need.traffic is Traffic.UDP:
        return Plan(_joined(need), (_LEFT,))
    return _tailscale("serve", need, target)


def tailscale_funnel(need: Need, target: Target) -> Plan:
    """To the internet."""
    return _tailscale("funnel", need, target)


def _bore(target: Target, server: str, environment: tuple[str, ...]) -> Step:
    words = ("bore", "local", target.port, "--local-host", target.host, "--to", server)
    return Step(argv=words, environment=environment)


def bore_own(need: Need, target: Target) -> Plan:
    """Both ends, with the secret in the environment."""
    server = target.names.via.rpartition("@")[2] or "SERVER"
    serve = Step(
        argv=("bore", "server", "--min-port", "20000", "--max-port", "20999"),
        environment=("BORE_SECRET",),
        where="on your server",
    )
    return Plan((serve, _bore(target, server, ("BORE_SECRET",))), (CTRL_C,))


def bore_pub(need: Need, target: Target) -> Plan:
    """The public instance."""
    return Plan((_bore(target, "bore.pub", ()),), (CTRL_C,))


_KEY_HERE: Final = "private.key"


def wireguard(need: Need, target: Target) -> Plan:
    """One hub, and the others as its peers; narrow AllowedIPs, no shell commands in the file."""
    interface = "[Interface]\nAddress = 10.66.0.{own}/24\nPrivateKey = FROM-{file}\n"
    hub = (
        interface.format(own=1, file=_KEY_HERE)
        + "ListenPort = 51820\n\n"
        + ("[Peer]\nPublicKey = PUBLIC-KEY-OF-PEER\nAllowedIPs = 10.66.0.2/32\n")
    )
    peer = interface.format(own=2, file=_KEY_HERE) + (
        "\n[Peer]\nPublicKey = PUBLIC-KEY-OF-HUB\nAllowedIPs = 10.66.0.0/24\n"
        "Endpoint = HUB:51820\nPersistentKeepalive = 25\n"
    )
    each = "on each machine"
    make = f"umask 077; wg genkey > {_KEY_HERE}; wg pubkey < {_KEY_HERE} > public.key"
    return Plan(
        (
            Step(argv=("sh", "-c", make), where=each, note="only the public key leaves it"),
            Step(file="/etc/wireguard/wg0.conf", text=hub, where="on the hub"),
            Step(file="/etc/wireguard/wg0.conf", text=peer, where="on the other machines"),
            Step(argv=("wg-quick", "up", "wg0"), where=each),
            Step(
                argv=("wg", "show", "wg0", "latest-handshakes"),
                where=each,
                note="0: it never came; send something first",
            ),
        ),
        (
            Step(argv=("wg-quick", "down", "wg0"), where=each),
            Step(note="delete /etc/wireguard/wg0.conf and both keys", where=each),
        ),
    )


PLANS: Final = {
    "ngrok-free": ngrok,
    "ngrok-paid": ngrok,
    "cloudflare-quick": cloudflare_quick,
    "cloudflare-named": cloudflare_named,
    "tailscale-serve": tailscale_serve,
    "tailscale-funnel": tailscale_funnel,
    "bore-own": bore_own,
    "bore-pub": bore_pub,
    "wireguard": wireguard,
}
