"""What a line of an SSH service's words says, or of ssh's own: pure.

Services name a tunnel's address in a banner, a line or a JSON object, in words that change without
notice. So an address is known by what it is: a URL without a path, in the wanted scheme, whose host
lies below a domain that the service gives names in. Banners also hold URLs of documentation, of
dashboards and of other people's hosts, and errors hold the very name that was refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from underpass.drivers.observations import Carrying, Observation, Refusal
from underpass.drivers.ssh.reading import read_line as read_ssh_line
from underpass.drivers.ssh.route import is_host

DOMAINS: Final = {
    "localhost.run": ("lhr.life", "lhr.rocks", "lhrtunnel.link", "localhost.run"),
    "serveo.net": ("serveo.net", "serveousercontent.com"),
    "pinggy.io": ("pinggy.link", "pinggy-free.link"),
}
"""In which domains a service gives names, by the service's own; any other gives its own."""

RESERVED: Final = frozenset(
    (
        *("account", "admin", "api", "app", "auth", "billing", "blog", "console", "dashboard"),
        *("docs", "help", "login", "mail", "my", "portal", "pro", "status", "support", "www"),
    )
)
"""First labels that are the service's own pages and nobody's tunnel."""

MAX_LINE: Final = 4_000

_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]{0,20}[ -/]{0,2}[@-~]|\][^\x07]{0,200}\x07|.)")
_URL: Final = re.compile(r"\b(?:https?|tcp)://[^\s\"'<>,;()]{1,255}", re.IGNORECASE)
_ANNOUNCES: Final = re.compile(
    r"tunneled with tls termination|forwarding \w{0,8} ?traffic from|^\W*(?:https?|url)\W*$",
    re.IGNORECASE,
)
_TROUBLE: Final = re.compile(
    r"\b(?:error|fail\w*|den(?:y|ied)|refus\w+|reject\w*|invalid|unavailable|unable|cannot|can't|"
    r"could not|couldn't|not|no longer|taken|already|in use|reserved|forbidden|previous\w*|former|"
    r"old|gone|closed|ended|expired?|lost|unknown|warning)\b",
    re.IGNORECASE,
)
_TALK: Final = re.compile(
    r"\b(?:visit|see|docs?|documentation|more|try|sign|log ?in|upgrade|dashboard|support|terms|"
    r"created?|register|welcome|thanks|issue|faq|follow|pric\w+|subscri\w+|account)\b",
    re.IGNORECASE,
)
_QUOTA: Final = re.compile(
    r"\btoo many (?:tunnels|connections|sessions|requests)\b"
    r"|\b(?:limit|quota)\b.{0,40}\b(?:reached|exceeded)\b|\bexceeded\b.{0,40}\b(?:limit|quota)\b",
    re.IGNORECASE,
)
_EXPIRED: Final = re.compile(
    r"\btunnel\b.{0,40}\b(?:has|is) (?:expired|timed out)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Announcements:
    """How one service's addresses are known."""

    domains: tuple[str, ...] = tuple(each for given in DOMAINS.values() for each in given)
    """A tunnel's name lies below one of these."""
    name: str = ""
    """Or is this one, a domain of the user's own."""
    scheme: str = "https"

    def read(self, line: str) -> Observation | None:
        """See ``Driver.read``."""
        line = _ESCAPES.sub("", line[:MAX_LINE]).strip()
        if (found := self._find(line)) is not None:
            return Carrying(url=found)
        if _QUOTA.search(line):
            return Refusal("quota-hit", "the service gives us no more tunnels now", "try later")
        if _EXPIRED.search(line):
            return Refusal("tunnel-expired", "the service ended the tunnel: its time was over")
        seen = read_ssh_line(line)
        if isinstance(seen, Refusal):
            hint = seen.hint.replace("option ssh.", "option ssh-service.")
            return replace(seen, hint=hint)
        return None  # that ssh forwards is not yet an address

    def _find(self, line: str) -> str | None:
        if line.startswith("{"):
            return next(filter(None, map(self._judge, _said_by(line))), None)
        around = _URL.sub(" ", line)
        if not around or len(around) == len(line):
            return None
        for url in _URL.findall(line):
            # A name may hold any word; what stands around it may not.
            around = around.replace(host_of(url) or "\n", " ")
        is_sure = _ANNOUNCES.search(around) is not None
        if _TROUBLE.search(around) or (_TALK.search(around) and not is_sure):
            return None
        return next(filter(None, map(self._judge, _URL.findall(line))), None)

    def _judge(self, text: str) -> str | None:
        """The address that ``text`` is, without its last slash; None for anything else."""
        url = text if "://" in text else f"{self.scheme}://{text}"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return None
        host = parts.hostname or ""
        if parts.scheme != self.scheme or parts.path not in ("", "/") or "@" in parts.netloc:
            return None
        if parts.query or parts.fragment or port == 0 or not host.isascii() or not is_host(host):
            return None
        if host != self.name and not self._is_below(host):
            return None
        return f"{self.scheme}://{host}" + (f":{port}" if port else "")

    def _is_below(self, host: str) -> bool:
        below = any(host.endswith(f".{domain}") for domain in self.domains)
        return below and host not in self.domains and host.partition(".")[0] not in RESERVED


def domains_of(service: str) -> tuple[str, ...]:
    """The domains in which the service at this host gives names."""
    for known, given in DOMAINS.items():
        if service == known or service.endswith(f".{known}"):
            return given
    return (service,)


def host_of(url: str) -> str:
    """The host of ``url``; "" for what is no URL."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _said_by(line: str) -> Iterator[str]:
    """Texts of a JSON object that may be an address, the likeliest first."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return
    if not isinstance(told, dict):
        return
    status = str(told.get("status", "ok")).lower()
    if status not in ("ok", "success", "true", "200") or told.get("error"):
        return
    for key in ("url", "address", "domain", "hostname", "host"):
        if isinstance(value := told.get(key), str):
            yield value
    for value in told.values():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and "://" in text:
                yield text
