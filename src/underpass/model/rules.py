"""What makes a spec whole: the rules a tunnel must keep before anything is dialled.

The first rule broken is raised. Rules that need the machine (own control ports, a policy file)
are not here but in ``guard``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from underpass.model.duration import LONGEST, format_duration
from underpass.model.errors_spec import (
    DurationInvalid,
    EngineUnknown,
    NameInvalid,
    OptionConflict,
    OptionInvalid,
    PublicNeedsDuration,
)
from underpass.model.gate_checks import check_gates
from underpass.model.origin import Kind

if TYPE_CHECKING:
    from underpass.model.spec import LeaseTerms, TunnelSpec

PUBLIC_LIMIT: Final = 3_600
"""Seconds that ``--public`` may last unless policy says otherwise."""

ENGINES: Final = (
    "relay",
    "ngrok",
    "cloudflare",
    "tailscale",
    "bore",
    "ssh-service",
    "ssh",
    "wireguard",
)

_ENGINE = re.compile(r"[a-z][a-z0-9-]{0,31}")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_WEB_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]{1,253}|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_TARGET = re.compile(r"/[!-~]{0,1023}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_LONGEST_WORDS: Final = 200
# Owner and purpose travel in every HELLO and are shown in one line of a table.


def check_spec(spec: TunnelSpec, *, public_limit: int) -> None:
    """Raise the first ``Misuse`` or ``Refused`` that ``spec`` deserves."""
    if spec.name:
        check_name(spec.name)
    if spec.kind is not spec.origin.kind:
        why = f"the origin {spec.origin} is of kind {spec.origin.kind}"
        raise OptionConflict(option="this origin", kind=spec.kind, why=why)
    check_gates(spec)
    _check_lease(spec.lease)
    for index, engine in enumerate(spec.engines):
        # Plug-ins may bring others: which of them are here, the registry of drivers knows.
        if not _ENGINE.fullmatch(engine) or engine in spec.engines[:index]:
            raise EngineUnknown(engine=engine, known=", ".join(ENGINES))
    _check_options(spec)
    if spec.public and spec.lease.seconds > public_limit:
        asked, limit = format_duration(spec.lease.seconds), format_duration(public_limit)
        raise PublicNeedsDuration(asked=asked, limit=limit)


def is_name(name: str) -> bool:
    """Whether ``name`` follows the grammar of names."""
    try:
        check_name(name)
    except NameInvalid:
        return False
    return True


def check_name(name: str) -> None:
    """Raise ``NameInvalid`` unless ``name`` can be the first label of a public host name."""
    if not 3 <= len(name) <= 63:
        raise NameInvalid(name=name[:80], why="it has fewer than 3 or more than 63 characters")
    if not _NAME.fullmatch(name):
        raise NameInvalid(name=name, why="it is no label of a host name")
    if name[2:4] == "--":
        # RFC 5891 keeps these for encoded names (xn--): they can look like somebody else's.
        raise NameInvalid(name=name, why="two hyphens in third place are kept for other alphabets")


def _check_lease(lease: LeaseTerms) -> None:
    for seconds in (lease.seconds, lease.idle_seconds):
        if seconds is not None and not 1 <= seconds <= LONGEST:
            raise DurationInvalid(text=f"{seconds}s", why="it must lie between 1s and 366d")
    for option, words in (("--owner", lease.owner), ("--purpose", lease.purpose)):
        if len(words) > _LONGEST_WORDS or not words.isprintable():
            why = f"it is longer than {_LONGEST_WORDS} characters or holds a control character"
            raise OptionInvalid(option=option, value=words[:_LONGEST_WORDS], why=why)


def _check_options(spec: TunnelSpec) -> None:
    if spec.kind is Kind.TCP:
        for option, is_given in (
            ("--host-header", spec.host_header != "preserve"),
            ("--health-path", spec.health_path is not None),
            ("--cors", bool(spec.cors)),
            ("--tls passthrough", spec.tls == "passthrough"),
        ):
            if is_given:
                raise OptionConflict(option=option, kind="tcp", why="it speaks of HTTP")
    elif spec.health == "tcp":
        why = "its proofs reach the origin anyway"
        raise OptionConflict(option="--health tcp", kind=spec.kind, why=why)
    if spec.health_path is not None and not _TARGET.fullmatch(spec.health_path):
        why = "it begins with / and holds no space"
        raise OptionInvalid(option="--health-path", value=spec.health_path[:80], why=why)
    for origin in spec.cors:
        if not _WEB_ORIGIN.fullmatch(origin):
            why = "a web origin is a scheme and a host, like https://app.example.com"
            raise OptionInvalid(option="--cors", value=origin[:80], why=why)
    if spec.pass_env and not spec.origin.command:
        why = "only a server behind mcp+stdio: is started by us"
        raise OptionConflict(option="--pass-env", kind=spec.kind, why=why)
    for name in spec.pass_env:
        if not _VARIABLE.fullmatch(name):
            # Not repeated beyond the mark: NAME=VALUE is how a secret would come here.
            why = "it takes the name of a variable, whose value is not said"
            raise OptionInvalid(option="--pass-env", value=name.partition("=")[0][:80], why=why)
