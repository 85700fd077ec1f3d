"""ngrok's error codes as data: what each means for a tunnel of ours, and what helps. Pure.

The vendor's own text is never passed on: it is long, it changes, and some of it repeats the
authtoken. Full texts: ``https://ngrok.com/docs/errors/err_ngrok_N``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from underpass.drivers.observations import Refusal


@dataclass(frozen=True, slots=True)
class Fault:
    """What some of the vendor's numbers have in common for us."""

    numbers: tuple[int, ...]
    code: str
    """Stable, kebab-case."""
    cause: str
    fix: str
    fatal: bool = True
    """Trying again cannot help until somebody changes something."""

    def refusal(self, number: int) -> Refusal:
        """As an observation of the agent's output."""
        return Refusal(self.code, f"{self.cause} (ERR_NGROK_{number})", self.fix, fatal=self.fatal)


_BILLING: Final = "see https://dashboard.ngrok.com/billing, or let another engine carry it"
_TOKEN: Final = "take a valid one from https://dashboard.ngrok.com/get-started/your-authtoken"

FAULTS: Final[tuple[Fault, ...]] = (
    Fault(
        (4018,),
        "credential-missing",
        "ngrok wants an account, and no authtoken was sent",
        f"set NGROK_AUTHTOKEN; {_TOKEN}",
    ),
    Fault(
        (105,), "credential-malformed", "ngrok cannot read the authtoken: it is malformed", _TOKEN
    ),
    Fault(
        (107,),
        "credential-refused",
        "ngrok does not take the authtoken: it was reset, revoked, or belongs to nobody",
        _TOKEN,
    ),
    Fault((300,), "credential-revoked", "the authtoken was revoked while it was in use", _TOKEN),
    Fault(
        (108,),
        "session-limit",
        "the account has as many agents online as it may",
        "stop the others: ngrok api tunnel-sessions list, then tunnel-sessions stop ID",
    ),
    Fault(
        (120, 121),
        "agent-too-old",
        "ngrok's service does not take agents this old",
        "update it: ngrok update, or install it anew from https://ngrok.com/download",
    ),
    Fault((102,), "payment-failed", "the account is suspended: a payment failed", _BILLING),
    Fault(
        (103,),
        "account-suspended",
        "the account is suspended",
        "write to support@ngrok.com, or let another engine carry it",
    ),
    Fault(
        (3208,),
        "account-banned",
        "the account was banned for what it served",
        "write to support@ngrok.com, or let another engine carry it",
    ),
    Fault(
        (324,),
        "endpoint-limit",
        "the account has as many endpoints online in one agent as it may",
        f"close a tunnel; else {_BILLING}",
    ),
    Fault(
        (334,),
        "name-online",
        "that address (name or port) is online already, perhaps by our own ghost",
        "stop the other agent, ask for another with ngrok.url, or set ngrok.pooling=yes on both",
        fatal=False,
    ),
    Fault(
        (302,),
        "tcp-needs-account",
        "a TCP address wants an account",
        f"set NGROK_AUTHTOKEN; {_TOKEN}",
    ),
    Fault(
        (8013,),
        "tcp-needs-card",
        "a TCP address wants a payment card on file, on free plans too",
        "add one at https://dashboard.ngrok.com/settings#id-verification, or use another engine",
    ),
    Fault(
        (303, 312),
        "tls-needs-plan",
        "TLS endpoints are not part of the account's plan",
        "leave out --tls passthrough, or let another engine carry it: --engine relay",
    ),
    Fault(
        (313, 401),
        "name-not-allowed",
        "the account may not have that name",
        "leave out ngrok.url, or reserve it: https://dashboard.ngrok.com/domains",
    ),
    Fault(
        (322,),
        "name-elsewhere",
        "that name is reserved in another region",
        "leave out ngrok.url, or set ngrok.server to that region's address",
    ),
    Fault(
        (3200,),
        "endpoint-offline",
        "nobody is online at that address",
        "the agent is not connected: see underpass list, then open the tunnel again",
        fatal=False,
    ),
    Fault(
        (3004,),
        "upstream-garbled",
        "what ngrok's agent was answered locally is no HTTP",
        "check whether the origin wants TLS: https://HOST:PORT",
        fatal=False,
    ),
    Fault(
        (8012,),
        "upstream-away",
        "ngrok's agent cannot reach the gatehouse",
        "close the tunnel and open it again",
        fatal=False,
    ),
    Fault(
        (3204,),
        "webhook-refused",
        "ngrok refused a webhook: its signature is not by the configured secret",
        "set the same secret at the sender and in the traffic policy",
        fatal=False,
    ),
    Fault(
        (6022,),
        "warning-page-anonymous",
        "browsers get a warning page of ngrok's first: there is no account",
        f"set NGROK_AUTHTOKEN; {_TOKEN}",
        fatal=False,
    ),
    Fault(
        (6024,),
        "warning-page",
        "browsers get a warning page of ngrok's first: free plans have one",
        "send the header ngrok-skip-browser-warning, or a User-Agent that is no browser's",
        fatal=False,
    ),
    Fault(
        (714,),
        "connection-limit",
        "the account has as many connections at once as it may",
        f"let visitors keep connections alive; else {_BILLING}",
        fatal=False,
    ),
    Fault(
        (715,),
        "connection-rate-limit",
        "the account had as many new connections in a minute as it may",
        "wait a minute, and let visitors keep connections alive",
        fatal=False,
    ),
    Fault(
        (720, 721, 725),
        "bandwidth-limit",
        "the account has sent as much as it may",
        _BILLING,
        fatal=False,
    ),
    Fault(
        (727,),
        "request-limit",
        "the account has had as many HTTP requests this month as it may",
        _BILLING,
        fatal=False,
    ),
    Fault(
        (734, 1214),
        "request-rate-limit",
        "the account had as many requests in a minute as it may",
        "wait a minute and send fewer at a time",
        fatal=False,
    ),
    Fault(
        (9009,),
        "proxy-needs-plan",
        "going to ngrok through an HTTP proxy is not part of the account's plan",
        "unset HTTP_PROXY and HTTPS_PROXY, or let another engine carry it",
    ),
    Fault(
        (8001,),
        "no-internet",
        "ngrok's diagnosis finds no way to the internet",
        "check the network, then: ngrok diagnose",
        fatal=False,
    ),
    Fault(
        (8011,),
        "ipv6-broken",
        "ngrok's diagnosis finds IPv6 broken",
        "check the network, then: ngrok diagnose --ipv6",
        fatal=False,
    ),
)

BY_NUMBER: Final = {number: fault for fault in FAULTS for number in fault.numbers}

_CODE: Final = re.compile(r"\bERR_NGROK_(\d{1,6})\b")


def find_number(text: str) -> int | None:
    """The first error number in ``text``."""
    match = _CODE.search(text)
    return None if match is None else int(match[1])


def read_page(fields: Mapping[str, str], body: str) -> str:
    """What an answer of ngrok's edge to a visitor means and what helps; "" for another's."""
    number = find_number(fields.get("ngrok-error-code", "") or body)
    if number is None:
        return ""
    fault = explain(number)
    return f"{fault.cause} (ERR_NGROK_{number}); {fault.fix}"


def explain(number: int) -> Fault:
    """What ``number`` means; one that we do not know gets the vendor's page as its fix."""
    return BY_NUMBER.get(number) or Fault(
        (number,),
        "engine-error",
        "ngrok says no",
        f"see https://ngrok.com/docs/errors/err_ngrok_{number}",
    )
