"""What the test edge keeps of each endpoint, and how it words its errors."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.edges.ngrok_session import AgentSession

ERRORS = {
    105: "authentication failed: The authtoken you specified is malformed",
    107: "authentication failed: The authtoken you specified does not belong to any account",
    108: "authentication failed: Your account is limited to simultaneous ngrok agent sessions",
    120: "Your ngrok-agent version is no longer supported",
    324: "Your account may not run more endpoints over a single ngrok agent session",
    334: "The endpoint is already online. Either stop it or start both with pooling",
    4018: "authentication failed: Usage of ngrok requires a verified account and authtoken",
    8013: "You must add a credit or debit card before you can use TCP endpoints on a free account",
}
"""The sense of the vendor's sentences; what matters to agents is the number on its own line."""


def error_text(number: int, echo: str = "") -> str:
    """An error as the service words it; some repeat the token."""
    words = ERRORS.get(number, "the service says no")
    return f"{words}{f': {echo}' if echo else ''}\r\n\r\nERR_NGROK_{number}\r\n"


@dataclass(slots=True)
class Bind:
    """One endpoint that is online."""

    id: str
    session: AgentSession
    proto: str
    url: str
    host: str
    options: dict[str, Any]
    server: asyncio.Server | None = None
    policy: dict[str, Any] = field(default_factory=dict)
