"""What a tailscaled says of itself, and what that means for a tunnel. Pure.

Decided on ``BackendState`` and on facts in JSON, never on a table or a sentence: the words are for
people, and ``tailscale status`` exits with 0 in every state.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from underpass.drivers.observations import Carrying, Faltering, Observation, Refusal

LOGIN_HINT: Final = "join the tailnet again: tailscale up --force-reauth"
EXPIRED_HINT: Final = "sign in again: tailscale up --force-reauth, or end the key's expiry there"


class Backend(StrEnum):
    """The values of ``BackendState``."""

    NO_STATE = "NoState"
    OTHER_USER = "InUseOtherUser"
    NEEDS_LOGIN = "NeedsLogin"
    NEEDS_APPROVAL = "NeedsMachineAuth"
    STOPPED = "Stopped"
    STARTING = "Starting"
    RUNNING = "Running"
    UNKNOWN = ""


class Machine(msgspec.Struct, rename="pascal", frozen=True):
    """A node as a status tells of it: this one, or a peer."""

    id: str = msgspec.field(default="", name="ID")
    host_name: str = ""
    dns_name: str = msgspec.field(default="", name="DNSName")
    addresses: list[str] | None = msgspec.field(default=None, name="TailscaleIPs")
    online: bool = False
    active: bool = False
    expired: bool = False
    key_expiry: str = ""
    last_seen: str = ""
    last_handshake: str = ""
    direct: str = msgspec.field(default="", name="CurAddr")
    relay: str = ""
    cap_map: dict[str, msgspec.Raw] | None = None
    capabilities: list[str] | None = None

    @property
    def name(self) -> str:
        """Its name in the tailnet, without the dot at its end."""
        return self.dns_name.rstrip(".").lower() or self.host_name


class Tailnet(msgspec.Struct, rename="pascal", frozen=True):
    """The tailnet that a node is in."""

    name: str = ""
    suffix: str = msgspec.field(default="", name="MagicDNSSuffix")
    has_names: bool = msgspec.field(default=False, name="MagicDNSEnabled")


class Status(msgspec.Struct, rename="pascal", frozen=True):
    """``tailscale status --json``, as far as it is used."""

    version: str = ""
    backend_state: str = ""
    has_key: bool = msgspec.field(default=False, name="HaveNodeKey")
    auth_url: str = msgspec.field(default="", name="AuthURL")
    self_: Machine | None = msgspec.field(default=None, name="Self")
    health: list[str] | None = None
    tailnet: Tailnet | None = msgspec.field(default=None, name="CurrentTailnet")
    cert_domains: list[str] | None = None
    peer: dict[str, Machine] | None = None

    @property
    def backend(self) -> Backend:
        """Its state; ``UNKNOWN`` for one that came after us."""
        try:
            return Backend(self.backend_state)
        except ValueError:
            return Backend.UNKNOWN

    @property
    def me(self) -> Machine:
        """This node."""
        return self.self_ or Machine()

    @property
    def peers(self) -> list[Machine]:
        """The others, by name."""
        return sorted((self.peer or {}).values(), key=lambda each: each.name)


def read_status(body: bytes) -> Status:
    """Raises ``ValueError`` for what is no status."""
    try:
        return msgspec.json.decode(body, type=Status)
    except msgspec.DecodeError as error:
        raise ValueError(f"it is no status: {error}") from None


def judge(status: Status, *, was_live: bool = False) -> Observation | None:
    """What the node's state says about a tunnel on it; ``Carrying`` if it could carry one.

    ``was_live``: it carried before, and may again without us: then nothing is final.
    """
    state = status.backend
    if state is Backend.RUNNING:
        return Carrying()
    if state in (Backend.NO_STATE, Backend.STARTING):
        return Faltering("node-starting", "tailscaled is starting") if was_live else None
    code, detail, hint = _STATES.get(state, ("node-unknown", "", ""))
    if status.me.expired and state is Backend.NEEDS_LOGIN:
        code, detail, hint = "node-key-expired", "the node's key has expired", EXPIRED_HINT
    detail = detail or f"tailscaled is in a state we do not know: {status.backend_state[:40]}"
    if was_live:
        return Faltering(code, f"{detail}; {hint}" if hint else detail)
    return Refusal(code, detail, hint, fatal=True)


_STATES: Final = {
    Backend.NEEDS_LOGIN: ("login-needed", "the node has to sign in", LOGIN_HINT),
    Backend.NEEDS_APPROVAL: (
        "approval-needed",
        "the node waits for an administrator of the tailnet",
        "approve it on the tailnet's page of machines",
    ),
    Backend.STOPPED: ("node-stopped", "tailscale is switched off here", "tailscale up"),
    Backend.OTHER_USER: (
        "node-in-use",
        "another user of this machine holds tailscaled",
        "let that user open the tunnel",
    ),
}
