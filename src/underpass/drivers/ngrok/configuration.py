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


def write_v2(told: Told) -> bytes:
    """For agents 2.x: they speak to a private edge only, and know no traffic policy."""
    wanted, is_tcp = told.settings.wanted, told.kind is Kind.TCP
    tunnel: dict[str, Any] = {
        "proto": "tcp" if is_tcp else "http",
        "addr": str(told.door),
        # Its store of requests keeps credentials and bodies.
        "inspect": False,
        "metadata": f"underpass {told.tunnel}",
    }
    if not is_tcp:
        tunnel["bind_tls"] = True
    if wanted is not None:
        tunnel["remote_addr" if is_tcp else "hostname"] = (
            f"{wanted.host}:{wanted.port}" if is_tcp else wanted.host
        )
    agent = {**_account(told, "server_addr", "root_cas"), **_habits(), "update": False}
    return _dump({**agent, "tunnels": {NAME: tunnel}})


def write_v3(told: Told) -> bytes:
    """For agents 3.16 and later."""
    scheme = "tcp" if told.kind is Kind.TCP else "https"
    wanted = told.settings.wanted
    endpoint: dict[str, Any] = {
        "name": NAME,
        "url": f"{scheme}://" if wanted is None else wanted.url,
        "upstream": {"url": f"{'tcp' if scheme == 'tcp' else 'http'}://{told.door}"},
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
    wanted, is_tcp = told.settings.wanted, told.kind is Kind.TCP
    asked = ""
    if wanted is not None:
        asked = f"{wanted.host}:{wanted.port}" if is_tcp else wanted.host
    return _dump(
        {
            **_account(told, "server", "ca"),
            "kind": "tcp" if is_tcp else "http",
            "door": str(told.door),
            "wanted": asked,
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
