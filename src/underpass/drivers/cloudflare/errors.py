"""What can go wrong with Cloudflare's API and with what it guards."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.drivers.errors import ENGINE_EXIT_CODE
from underpass.model.errors import PeerFault, Refused, Setup, Unreachable


@dataclass(eq=False)
class ApiTokenRefused(Refused):
    """The API token is unknown, or may not do what is needed."""

    what: str
    why: str

    code = "cloudflare-token-refused"
    exit_code = ENGINE_EXIT_CODE
    sentence = "cannot {what} at Cloudflare: the API token is refused: {why}"
    hint_text = (
        "the token needs Zone:Read and DNS:Edit for the zone, Cloudflare Tunnel:Edit, and for "
        "Access: Apps and Policies:Edit and Service Tokens:Edit"
    )


@dataclass(eq=False)
class ApiRefused(Refused):
    """The API said no to one call."""

    what: str
    why: str

    code = "cloudflare-api-refused"
    exit_code = ENGINE_EXIT_CODE
    sentence = "cannot {what} at Cloudflare: {why}"


@dataclass(eq=False)
class ApiLimited(Unreachable):
    """The API counts calls, and there were too many."""

    what: str
    seconds: float

    code = "cloudflare-api-limited"
    exit_code = ENGINE_EXIT_CODE
    sentence = "cannot {what} at Cloudflare: too many calls; it asks to wait {seconds:g} s"
    hint_text = "wait, or find what else calls with the same account: 1200 calls in 5 minutes"


@dataclass(eq=False)
class ApiAway(Unreachable):
    """The API does not answer, or has a fault of its own."""

    what: str
    why: str

    code = "cloudflare-api-away"
    exit_code = ENGINE_EXIT_CODE
    sentence = "cannot {what} at Cloudflare: its API does not answer: {why}"
    hint_text = "look at https://www.cloudflarestatus.com, and at HTTPS_PROXY"


@dataclass(eq=False)
class ApiStrange(PeerFault):
    """The API answers in a way that it should not."""

    what: str
    why: str

    code = "cloudflare-api-strange"
    exit_code = ENGINE_EXIT_CODE
    sentence = "cannot {what} at Cloudflare: its answer makes no sense: {why}"


@dataclass(eq=False)
class TunnelUnknown(Setup):
    """Which tunnel it is cannot be told from its token or credentials."""

    why: str

    code = "cloudflare-tunnel-unknown"
    exit_code = ENGINE_EXIT_CODE
    sentence = "cannot tell which tunnel of Cloudflare's it is: {why}"
    hint_text = "copy the token anew: cloudflared tunnel token NAME > FILE"


@dataclass(eq=False)
class NameTaken(Refused):
    """The name leads elsewhere, and we do not take it away."""

    hostname: str
    what: str

    code = "cloudflare-name-taken"
    exit_code = ENGINE_EXIT_CODE
    sentence = "cannot lead {hostname} to this tunnel: {what} is there already"
    hint_text = "remove it in the dashboard if it is not needed, or choose another name"


@dataclass(eq=False)
class AccessUnproved(Refused):
    """Access does not do what it should; it was taken off again."""

    hostname: str
    why: str

    code = "cloudflare-access-unproved"
    exit_code = ENGINE_EXIT_CODE
    sentence = "cannot put Access in front of {hostname}: {why}"
    hint_text = "look at the application of that name in the Zero Trust dashboard"
