"""What a cloudflared that we did not start exposes, from its words; never its token. Pure."""

from __future__ import annotations

from typing import Final

_VALUED: Final = frozenset(
    (
        *("--url", "--hostname", "--name", "--unix-socket", "--config", "--token", "--token-file"),
        *("--credentials-file", "--credentials-contents", "--origincert", "--metrics", "--edge"),
        *("--protocol", "--logfile", "--loglevel", "--region", "--cacert", "--output", "--label"),
        *("--grace-period", "--pidfile", "--quick-service", "--retries", "--tag"),
    )
)
_OTHER_WORK: Final = frozenset(
    ("login", "create", "route", "list", "info", "delete", "token", "cleanup", "ready", "diag")
)


def read_words(words: list[str]) -> tuple[str, str] | None:
    """What it exposes and under which name, as far as its words say; None: it carries nothing."""
    found: dict[str, str] = {}
    plain: list[str] = []
    rest = iter(words)
    for word in rest:
        key, equals, value = word.partition("=")
        if not key.startswith("-"):
            plain.append(word)
        elif f"--{key.lstrip('-')}" in _VALUED:
            found[key.lstrip("-")] = value if equals else next(rest, "")
    if "tunnel" not in plain[:1] or _OTHER_WORK & set(plain[1:2]):
        return None
    exposes = found.get("url") or found.get("unix-socket", "")
    if (not exposes and "token" in found) or "token-file" in found:
        exposes = "what its configuration at Cloudflare says"
    if not exposes:
        where = f" {found['config']}" if "config" in found else " ~/.cloudflared"
        exposes = f"what its configuration says:{where}"
    named = plain[2] if plain[1:2] == ["run"] and len(plain) > 2 else ""
    return exposes, found.get("hostname") or named or found.get("name", "")
