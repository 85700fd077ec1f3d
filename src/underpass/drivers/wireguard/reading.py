"""What a line of wireguard-go's output says: pure. Wording as seen from 0.0.20220316.

Its lines name peers by abbreviated public keys and hold no secret. Two of them are the only word
WireGuard ever says about a wrong key; they are for ``HostInterface.rejected``.
"""

from __future__ import annotations

import re
from typing import Final

from underpass.drivers.observations import Observation, Refusal

MAX_LINE: Final = 2_000

_STRANGER: Final = re.compile(
    r"Received invalid (?:initiation|response) message from "
    r"(\[[0-9A-Fa-f:]{2,45}\]|[0-9.]{7,15}):\d"
)
_NOT_FOR_US: Final = "Received packet with invalid mac1"
_NO_TUN: Final = "Failed to create TUN device"


def read_line(line: str) -> Observation | None:
    """See ``Driver.read``. That it carries is not said by the program: the device has to be given
    its peers first."""
    line = line[:MAX_LINE]
    if _NO_TUN in line:
        why = line.partition(_NO_TUN)[2].strip(" :") or "it does not say why"
        hint = "it needs /dev/net/tun and the right to use it; or --engine-option mode=rootless"
        in_use = "resource busy" in why or "in use" in why
        return Refusal("interface-refused", f"no interface can be made: {why}", hint, not in_use)
    if "UAPI listen error" in line or "Failed to listen on uapi socket" in line:
        return Refusal(
            "interface-taken",
            "another device of that name is running",
            "choose another name: --engine-option wireguard.interface=NAME",
            fatal=True,
        )
    if line.startswith("underpass-rootless-refused "):
        _, code, why = [*line.split(" ", 2), ""][:3]
        if code == "port":
            hint = "choose another: listen in the topology, or --engine-option wireguard.listen=0"
            return Refusal("port-taken", f"its UDP port cannot be had: {why}", hint)
        return Refusal(code, why, fatal=True)
    return None


def read_rejected(line: str) -> str | None:
    """The address that called with a key which the device does not know; "" when the line does not
    say which, None when it says something else."""
    line = line[:MAX_LINE]
    if match := _STRANGER.search(line):
        return match[1].strip("[]")
    return "" if _NOT_FOR_US in line else None
