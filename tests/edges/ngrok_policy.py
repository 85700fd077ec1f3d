"""What ngrok's edge does to a request's head: forwarded headers, and the traffic policy we use.

Of the policy only the actions that our driver asks for; an unknown one is an error here, so that a
test cannot pass because nobody looked.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

Fields = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Head:
    """A request's first line and fields."""

    first: str
    fields: Fields

    @classmethod
    def parse(cls, data: bytes) -> Head:
        """Raises ``ValueError``."""
        first, *lines = data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        fields = []
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise ValueError("a field without a colon")
            fields.append((name, value.strip()))
        return cls(first, fields)

    def get(self, name: str) -> str:
        """The last value of a field, "" when there is none."""
        return next((value for key, value in reversed(self.fields) if key.lower() == name), "")

    def encode(self) -> bytes:
        """As bytes."""
        lines = [self.first, *(f"{name}: {value}" for name, value in self.fields), "", ""]
        return "\r\n".join(lines).encode("latin-1")


@dataclass(frozen=True, slots=True)
class Denied:
    """The edge answers itself."""

    status: int
    number: int
    """Of ERR_NGROK_…"""


def forward(head: Head, client: str, scheme: str) -> Head:
    """The head as the edge passes it on, before any policy. One request a connection."""
    before = head.get("x-forwarded-for")
    told = {
        "X-Forwarded-For": f"{before}, {client}" if before else client,
        "X-Forwarded-Host": head.get("host"),
        "X-Forwarded-Proto": scheme,
    }
    taken = {name.lower() for name in told}
    is_upgrade = "upgrade" in head.get("connection").lower()
    if not is_upgrade:
        taken.add("connection")
        told["Connection"] = "close"
    kept = [(name, value) for name, value in head.fields if name.lower() not in taken]
    return Head(head.first, [*kept, *told.items()])


def apply_policy(head: Head, policy: dict[str, Any], client: str) -> Head | Denied:
    """What ``on_http_request`` makes of ``head``."""
    for rule in policy.get("on_http_request", ()):
        for action in rule["actions"]:
            config = action["config"]
            if action["type"] == "remove-headers":
                gone = {name.lower() for name in config["headers"]}
                head = Head(head.first, [it for it in head.fields if it[0].lower() not in gone])
            elif action["type"] == "add-headers":
                added = [
                    (name.lower(), value.replace("${conn.client_ip}", client))
                    for name, value in config["headers"].items()
                ]
                head = Head(head.first, [*head.fields, *added])
            elif action["type"] == "restrict-ips":
                address = ipaddress.ip_address(client)
                if not any(address in ipaddress.ip_network(it) for it in config["allow"]):
                    return Denied(403, 3205)
            else:
                raise ValueError(f"an action that this edge does not know: {action['type']}")
    return head
