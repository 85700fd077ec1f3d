"""What the agent, or the program around the SDK, is told: one private file, in JSON. Pure.

JSON is YAML, too, and has one way to quote a text: nothing that stands in it can become a key, a
second line or an alias. The authtoken goes this way and no other: words and variables of a program
can be read by others.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from underpass.drivers.ngrok.policy import Policy
from underpass.drivers.ngrok.settings import NgrokSettings
from underpass.drivers.plans import DoorAddress
from underpass.guard.secrets import Secret
from underpass.model.origin import Kind

NAME: Final = "underpass"
"""What the one tunnel or endpoint is called in the file."""

ANY_PORT: Final = "127.0.0.1:0"
# Whichever is free: 4040 and a few above are the first thing that two agents contend for.

HEARTBEAT: Final = "5s"
TOLERANCE: Final = "5s"
# Half the vendor's 10 s and a third of its 15 s, so that a lost link shows within 10 s.


@dataclass(frozen=True, slots=True)
class Told:
    """All that the file says."""

    settings: NgrokSettings
    kind: Kind
    door: DoorAddress
    token: Secret | None
    policy: Policy
    tunnel: str
    """The tunnel's name, for the vendor's own lists."""
    passthrough: bool = False
    """Visitors' TLS is not opened at the edge."""

    @property
    def proto(self) -> str:
        """The vendor's word for the kind of endpoint."""
        if self.kind is Kind.TCP:
            return "tcp"
        return "tls" if self.passthrough else "http"

    @property
    def asked(self) -> str:
        """The address to ask for, without a scheme; "" for any."""
        wanted = self.settings.wanted
        if wanted is None:
            return ""
        return f"{wanted.host}:{wanted.port}" if wanted.port else wanted.host


def write_v2(told: Told) -> bytes:
    """For agents 2.x: they speak to a private edge only, and know no traffic policy."""
    tunnel: dict[str, Any] = {
        "proto": told.proto,
        "addr": str(told.door),
        # Its store of requests keeps credentials and bodies.
        "inspect": False,
        "metadata": f"underpass {told.tunnel}",
    }
    if told.proto == "http":
        tunnel["bind_tls"] = True
    if told.asked:
        tunnel["remote_addr" if told.proto == "tcp" else "hostname"] = told.asked
    agent = {
        **_account(told, "server_addr", "root_cas"),
        **_habits(),
        "heartbeat_interval": HEARTBEAT,
        "heartbeat_tolerance": TOLERANCE,
        "update": False,
    }
    return _dump({**agent, "tunnels": {NAME: tunnel}})


def write_v3(told: Told) -> bytes:
    """For agents 3.16 and later."""
    scheme = "https" if told.proto == "http" else told.proto
    endpoint: dict[str, Any] = {
        "name": NAME,
        "url": f"{scheme}://{told.asked}",
        "upstream": {"url": f"{'http' if told.proto == 'http' else 'tcp'}://{told.door}"},
        "metadata": f"underpass {told.tunnel}",
    }
    if told.settings.pooling:
        endpoint["pooling_enabled"] = True
    if told.policy:
        endpoint["traffic_policy"] = told.policy
    agent = {
        **_account(told, "connect_url", "connect_cas"),
        **_habits(),
        "heartbeat_interval": HEARTBEAT,
        "heartbeat_tolerance": TOLERANCE,
        "inspect_db_size": -1,
        # Else the dashboard stops and updates the agent behind our back.
        "remote_management": False,
        "update_check": False,
    }
    return _dump({"version": 3, "agent": agent, "endpoints": [endpoint]})


def write_sdk(told: Told) -> bytes:
    """For ``sdk_program``."""
    return _dump(
        {
            **_account(told, "server", "ca"),
            "kind": told.proto,
            "door": str(told.door),
            "wanted": told.asked,
            "policy": told.policy,
            "metadata": f"underpass {told.tunnel}",
        }
    )


def _account(told: Told, server: str, ca: str) -> dict[str, Any]:
    account: dict[str, Any] = {}
    if told.token is not None:
        account["authtoken"] = told.token.reveal()
    if told.settings.server:
        account[server] = told.settings.server
    if told.settings.server_ca:
        account[ca] = told.settings.server_ca
    return account


def _habits() -> dict[str, Any]:
    return {
        "web_addr": ANY_PORT,
        "console_ui": False,
        "log": "stdout",
        "log_format": "json",
        # debug would write the authtoken.
        "log_level": "info",
    }


def _dump(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=True).encode() + b"\n"
