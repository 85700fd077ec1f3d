"""Why cloudflared does not carry, by how its lines begin: cause and fix for each. Pure.

Wording as seen from 2026.7.3.
"""

from __future__ import annotations

from typing import Final

from underpass.drivers.observations import Refusal

_VISITS: Final = (
    "Failed to proxy HTTP: ",
    "Error shutting down control stream: ",
    "cloudflared received a warp-routing request",
    "Received unknown connection type",
    "failed to start tcp flow",
)
"""What befalls one visitor, or is a consequence of an end: not about the tunnel."""

_NEW_TOKEN: Final = "copy the token anew: cloudflared tunnel token NAME, or the dashboard"
_OPEN_PORT: Final = "let TCP port 7844 out, and look for something that intercepts TLS"
_LATER: Final = "wait some minutes, or use a named tunnel, or --engine relay"

PLAIN: Final[tuple[tuple[str, Refusal], ...]] = (
    (
        "Provided Tunnel token is not valid",
        Refusal("credential-refused", "the tunnel's token is no token", _NEW_TOKEN, fatal=True),
    ),
    (
        "Failed to read token file",
        Refusal(
            "credential-missing",
            "the file with the tunnel's token cannot be read",
            "check the path and its owner: --engine-option cloudflare.token-file=PATH",
            fatal=True,
        ),
    ),
    (
        "Tunnel credentials file ",
        Refusal(
            "credential-missing",
            "there is no such credentials file",
            "check the path: --engine-option cloudflare.credentials-file=PATH",
            fatal=True,
        ),
    ),
    (
        "couldn't read tunnel credentials",
        Refusal(
            "credential-refused",
            "the credentials file cannot be read",
            "it is the JSON file that cloudflared tunnel create wrote, not cert.pem",
            fatal=True,
        ),
    ),
    (
        "The tunnel credentials file should be .json",
        Refusal(
            "credential-refused",
            "the credentials file is a certificate",
            "it is the JSON file that cloudflared tunnel create wrote, not cert.pem",
            fatal=True,
        ),
    ),
    (
        "failed to request quick Tunnel",
        Refusal(
            "far-end-unreachable",
            "the service that gives quick tunnels does not answer",
            "check the network, and HTTPS_PROXY",
        ),
    ),
    (
        "failed to parse quick Tunnel ID",
        Refusal("quota-hit", "Cloudflare gives no quick tunnel now", _LATER, fatal=True),
    ),
    (
        "edge discovery:",
        Refusal(
            "name-lookup-failed",
            "the addresses of Cloudflare's edge are not found",
            "let DNS answer for _v2-origintunneld._tcp.argotunnel.com",
        ),
    ),
)

DIALS: Final[tuple[tuple[str, Refusal], ...]] = (
    # how the error of a connection that cannot be made begins
    (
        "DialContext error",
        Refusal("far-end-unreachable", "Cloudflare's edge does not answer", _OPEN_PORT),
    ),
    (
        "TLS handshake with edge error",
        Refusal(
            "far-end-strange",
            "what answers is not Cloudflare's edge, or the clock is wrong",
            _OPEN_PORT,
        ),
    ),
    (
        "failed to dial to edge with quic",
        Refusal(
            "far-end-unreachable",
            "Cloudflare's edge does not answer by UDP",
            "let UDP port 7844 out, or: --engine-option cloudflare.protocol=http2",
        ),
    ),
)


def refuse_registration(error: str) -> Refusal | None:
    """What the edge said to a connection that wanted to be registered; None: nothing final."""
    if not error or error.startswith(_VISITS) or error == "context canceled":
        return None
    if error.startswith("Unauthorized"):
        gone = "not found" in error.lower()
        words = (
            "there is no such tunnel any more" if gone else "Cloudflare refused the tunnel's secret"
        )
        return Refusal(
            "tunnel-missing" if gone else "credential-refused", words, _NEW_TOKEN, fatal=True
        )
    if error.startswith("already connected to this server"):
        return None
    return Refusal(
        "registration-refused",
        f"Cloudflare's edge does not take the connection: {error[:200]}",
        "wait a minute; limits of the account stand in its dashboard",
    )


def refuse_quick(status: str) -> Refusal:
    """The service that gives quick tunnels answered with ``status``, and with no tunnel."""
    if status.startswith("429"):
        words = "Cloudflare limits how many quick tunnels it gives"
        return Refusal("quota-hit", words, _LATER, fatal=True)
    return Refusal("quick-refused", "Cloudflare gives no quick tunnel now", _LATER, fatal=True)


def look_up(text: str, table: tuple[tuple[str, Refusal], ...]) -> Refusal | None:
    """The refusal whose beginning ``text`` has."""
    return next((refusal for beginning, refusal in table if text.startswith(beginning)), None)
