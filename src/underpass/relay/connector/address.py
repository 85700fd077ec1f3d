"""Where a relay is: its URL, read once, and how it is recognised."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from underpass.model.errors import Misuse
from underpass.model.loopback import is_loopback
from underpass.model.options import RelayAccess


@dataclass(eq=False)
class RelayUrlInvalid(Misuse):
    """The relay's URL cannot be used."""

    code = "relay-url-invalid"
    sentence = "cannot use {url!r} as a relay: {why}"
    hint_text = "give https://HOST[:PORT], or http://127.0.0.1:PORT for a relay on this machine"

    url: str
    why: str


@dataclass(frozen=True, slots=True)
class RelayAddress:
    """A relay's door."""

    host: str
    port: int
    secure: bool
    ca: Path | None = None
    """The only authorities that may vouch for it; None: the system's."""
    fingerprint: bytes | None = None
    """SHA-256 of the only leaf certificate it may show."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


def parse_relay(access: RelayAccess) -> RelayAddress:
    """Read a relay's URL and pins. Raises ``RelayUrlInvalid``."""
    url = access.url or ""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise RelayUrlInvalid(url=url, why="it is not a URL") from None
    host = parts.hostname or ""
    if parts.scheme not in ("https", "http") or not host:
        raise RelayUrlInvalid(url=url, why="it is not an https URL")
    if parts.username or parts.password or parts.query or parts.path not in ("", "/"):
        # the credentials of a URL end in logs: they are not repeated here either
        raise RelayUrlInvalid(url=f"{parts.scheme}://{host}", why="it is more than host and port")
    if parts.scheme == "http" and not is_loopback(host):
        raise RelayUrlInvalid(url=url, why="plain links are only for loopback")
    fingerprint = None
    if access.fingerprint is not None:
        try:
            fingerprint = bytes.fromhex(access.fingerprint.replace(":", ""))
        except ValueError:
            fingerprint = b""
        if len(fingerprint) != 32:
            raise RelayUrlInvalid(url=url, why="the fingerprint is not 64 hexadecimal digits")
    secure = parts.scheme == "https"
    return RelayAddress(
        host=host,
        port=port or (443 if secure else 80),
        secure=secure,
        ca=access.ca,
        fingerprint=fingerprint,
    )
