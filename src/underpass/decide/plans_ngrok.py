"""Steps with ngrok: ours, and its own where only its edge has the gate that is wanted."""

from __future__ import annotations

from typing import Final

from underpass.decide.need import Auth, Need
from underpass.decide.opening import closing, open_step, options, seen
from underpass.decide.steps import CTRL_C, Plan, Step, Target, addresses, is_bytes
from underpass.decide.way import GateOffer

_POLICIES: Final = {
    Auth.IP: """\
on_tcp_connect:
  - actions:
      - type: restrict-ips
        config:
          enforce: true
          allow:
            - {addresses}
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
}

DEV_DOMAIN: Final = "YOUR-DEV-DOMAIN"
"""The one name that a free account is given, as its dashboard shows it."""

RESERVED: Final = "tcp://N.tcp.ngrok.io:PORT"
"""A TCP address that was reserved, as the dashboard shows it."""

_POLICY_FILE: Final = "ngrok-policy.yml"
_TOKEN: Final = ("NGROK_AUTHTOKEN",)
_STOP: Final = Step(
    argv=("ngrok", "api", "tunnel-sessions", "stop", "ID"),
    environment=("NGROK_API_KEY",),
    note="from elsewhere, with an id of `ngrok api tunnel-sessions list`; there is no "
    "`ngrok api tunnels delete`",
)


def free(need: Need, target: Target, offer: GateOffer) -> Plan:
    """With a free account; its one name comes by itself."""
    return _ngrok(need, target, offer, "")


def paid(need: Need, target: Target, offer: GateOffer) -> Plan:
    """With a plan that counts no requests, and domains that are reserved."""
    return _ngrok(need, target, offer, "paid")


def _ngrok(need: Need, target: Target, offer: GateOffer, account: str) -> Plan:
    if offer.theirs:
        return _by_policy(need, target, offer, account)
    # OAuth's clients registered with one address, so it is asked for by name.
    own = target.hostname if account else DEV_DOMAIN
    wanted = need.names.hostname or (own if offer.auth is Auth.SSO else "")
    named = f"https://{wanted}" if wanted and not is_bytes(need) else ""
    if is_bytes(need) and account:
        named = RESERVED
    engine = ("--engine", "ngrok", *options(url=named, account=account))
    opened = open_step(need, target, offer, engine, environment=_TOKEN)
    left = "nothing is left at ngrok"
    if named and account:
        left = "what you reserved stays yours: release it in the dashboard"
    return Plan((opened, *seen(need, target)), closing(target, left, _STOP))


def _by_policy(need: Need, target: Target, offer: GateOffer, account: str) -> Plan:
    words = ["ngrok", "tcp", target.address] if is_bytes(need) else ["ngrok", "http", target.url]
    if is_bytes(need) and account:
        words += ["--url", RESERVED]
    if target.names.hostname and not is_bytes(need):
        words += ["--url", f"https://{target.hostname}"]
    text = _POLICIES[offer.auth].format(addresses=addresses(need))
    words += ["--traffic-policy-file", _POLICY_FILE]
    if need.streaming and not need.inspect:
        words.append("--inspect=false")
    run = (Step(file=_POLICY_FILE, text=text), Step(argv=tuple(words), environment=_TOKEN))
    return Plan(run, (CTRL_C, _STOP), theirs=offer.theirs)


PLANS: Final = {
    "ngrok-free": free,
    "ngrok-paid": paid,
    "ngrok-tcp": free,
    "ngrok-tcp-reserved": paid,
}
