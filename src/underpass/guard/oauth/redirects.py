"""Where an answer may be sent: which redirect URIs a client may have, and which one it asks for.

Compared byte by byte as written. The one exception is RFC 8252's: a program on the visitor's own
machine listens on whatever port it got, so the port of a loopback URI is left out.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

MAX_URIS: Final = 16
MAX_URI_LENGTH: Final = 1024

_CHARACTERS: Final = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]+")
"""RFC 3986, less the ``#`` that would begin a fragment. No quotes, no backslash, no blanks."""

_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]+\]")
"""A host as people can read it: RFC 3986 would let commas and brackets into names."""

_LOOPBACK: Final = frozenset(("127.0.0.1", "::1", "localhost"))

_NOT_FOR_APPS: Final = frozenset(
    (
        *("about", "blob", "chrome", "data", "file", "filesystem", "ftp", "ftps", "intent", "jar"),
        *("javascript", "ldap", "ldaps", "mailto", "resource", "search", "search-ms", "sftp"),
        *("shell", "smb", "sms", "ssh", "tel", "telnet", "vbscript", "view-source", "ws", "wss"),
    )
)
"""Schemes that browsers or systems act on themselves: no program of the visitor's gets those."""

_APP_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{1,63}")


def why_not_registrable(uri: str, application_type: str) -> str:
    """Why a client may not have ``uri``; "" when it may. ``application_type`` is ``web``,
    ``native`` or "" (not said, as most MCP clients do: judged like native)."""
    if len(uri) > MAX_URI_LENGTH or not _CHARACTERS.fullmatch(uri):
        return "it is no URI, has a fragment, or is too long"
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return "it is no URI"
    if "@" in parts.netloc or "%" in parts.netloc:
        return "it names a user, or hides its host"
    scheme = parts.scheme
    if parts.netloc and not is_host(parts.netloc):
        return "its host is no host name"
    if scheme == "https":
        return "" if parts.hostname and port != 0 else "it names no host"
    if scheme == "http":
        if application_type == "web":
            return "a web application needs https"
        return "" if parts.hostname in _LOOPBACK else "plain http is for loopback addresses only"
    if application_type == "web":
        return "a web application needs https"
    if not _APP_SCHEME.fullmatch(scheme) or scheme in _NOT_FOR_APPS or scheme.startswith("ms-"):
        return "its scheme is not one of a program's own"
    return ""


def is_among(uri: str, registered: tuple[str, ...]) -> bool:
    """Whether ``uri`` is one of those registered."""
    return uri in registered or any(_same_but_port(uri, each) for each in registered)


def is_loopback(uri: str) -> bool:
    """Whether the answer stays on the visitor's machine."""
    parts = urlsplit(uri)
    return parts.scheme == "http" and parts.hostname in _LOOPBACK


def target_of(uri: str, computer: str = "this computer") -> str:
    """Who gets the answer, in words: a host, or a program by its scheme. ``computer`` is the one
    with the browser in it, as whoever reads this calls it."""
    parts = urlsplit(uri)
    if is_loopback(uri):
        return f"a program on {computer}"
    if parts.scheme == "https":
        return parts.netloc
    return f"a program on {computer} ({parts.scheme}:)"


def _same_but_port(uri: str, registered: str) -> bool:
    if not _CHARACTERS.fullmatch(uri) or not is_loopback(registered):
        return False
    try:
        ours, theirs = urlsplit(registered), urlsplit(uri)
        port = theirs.port
    except ValueError:
        return False
    if port == 0 or "@" in theirs.netloc:
        return False
    same = (theirs.scheme, theirs.hostname, theirs.path, theirs.query)
    # Written as it was: a host in capitals, an empty port or a bare "?" is another URI.
    rebuilt = theirs._replace(netloc=_netloc(theirs.hostname or "", port)).geturl()
    return same == (ours.scheme, ours.hostname, ours.path, ours.query) and rebuilt == uri


def is_host(netloc: str) -> bool:
    """Whether the host before the port is written as hosts are."""
    return _HOST.fullmatch(_host_of(netloc)) is not None


def _host_of(netloc: str) -> str:
    if netloc.startswith("["):
        return netloc[: netloc.rfind("]") + 1]
    return netloc.partition(":")[0]


def _netloc(host: str, port: int | None) -> str:
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"
