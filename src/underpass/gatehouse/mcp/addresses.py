"""By which URLs an MCP server knows itself, and what they are called in public.

A server that was started on ``localhost:3001`` writes that address into its OAuth documents,
challenges, cards and redirects, whoever asks. Only a URL of exactly this origin is moved: same
scheme family, same host or one of loopback's other names, same port. Anything else is not ours to
change. Pure.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from underpass.gatehouse.allow_list import public_names
from underpass.model.origin import Origin

_URL: Final = re.compile(r"(https?)://([^/?#\s\"'\\@<>]+)(.*)", re.IGNORECASE | re.DOTALL)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]", "0.0.0.0")
# The last is no address, but what servers that listen on it print.


class OwnAddresses:
    """The URLs that name one origin."""

    def __init__(self, origin: Origin) -> None:
        host = f"[{origin.host}]" if ":" in origin.host else origin.host.lower()
        port = origin.port or 80  # a server on a Unix socket is told localhost:80
        names = {host, *_LOOPBACK} if origin.is_unix or _is_loopback(origin.host) else {host}
        # Servers that believe our X-Forwarded-Proto write https before their own address.
        self._known = {
            (scheme, authority)
            for scheme, default in _DEFAULT_PORTS.items()
            for name in names
            for authority in ({f"{name}:{port}", name} if port == default else {f"{name}:{port}"})
        }

    def path_of(self, url: str) -> str | None:
        """What follows scheme and authority of ``url``, or None if it is not this origin's."""
        match = _URL.fullmatch(url)
        if match is None or (match[1].lower(), match[2].lower()) not in self._known:
            return None
        rest = match[3]
        return rest if not rest or rest[0] in "/?#" else None


def public_bases(urls: Iterable[str], tunnel: str) -> dict[bytes, str]:
    """For each Host value (lower case) under which the tunnel is public, its base URL: a document
    must name the address that this very client dialled (RFC 9728, 3.3)."""
    bases: dict[bytes, str] = {}
    for url in urls:
        scheme = urlsplit(url).scheme
        suffix = f":{_DEFAULT_PORTS.get(scheme)}"
        for host in public_names([url], tunnel)[0]:
            bases[host] = f"{scheme}://{host.decode().removesuffix(suffix)}"
    return bases


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
