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
        return _by_policy(need, target, offer)
    # OAuth's clients registered with one address, so it is asked for by name.
    wanted = need.names.hostname or (target.hostname if offer.auth is Auth.SSO else "")
    named = f"https://{wanted}" if wanted and not is_bytes(need) else ""
    engine = ("--engine", "ngrok", *options(url=named, account=account))
    opened = open_step(need, target, offer, engine, environment=_TOKEN)
    left = "a reserved domain stays yours: release it in the dashboard" if named else ""
    return Plan(
        (opened, *seen(need, target)), closing(target, left or "nothing is left at ngrok", _STOP)
    )


def _by_policy(need: Need, target: Target, offer: GateOffer) -> Plan:
    words = ["ngrok", "tcp", target.address] if is_bytes(need) else ["ngrok", "http", target.url]
    if target.names.hostname and not is_bytes(need):
        words += ["--url", f"https://{target.hostname}"]
    text = _POLICIES[offer.auth].format(addresses=addresses(need))
    words += ["--traffic-policy-file", _POLICY_FILE]
    if need.streaming and not need.inspect:
        words.append("--inspect=false")
    run = (Step(file=_POLICY_FILE, text=text), Step(argv=tuple(words), environment=_TOKEN))
    return Plan(run, (CTRL_C, _STOP), theirs=offer.theirs)


PLANS: Final = {"ngrok-free": free, "ngrok-paid": paid}
