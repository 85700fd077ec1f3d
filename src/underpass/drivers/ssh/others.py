"""What the words of somebody else's ssh say: its forwards and where it leads. Pure.

Read as ssh reads them, letters of one dash together. A user name may be a token (pinggy), and what
follows the host may be a password: neither is told.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from underpass.drivers.others import NO_GATE, Running
from underpass.drivers.plans import ForeignTunnel

_VALUED: Final = frozenset("BbcDEeFIiJLlmOopQRSWw")
"""Letters of ssh that take a word; autossh has ``M`` besides, which in ssh takes none."""

_OPTION: Final = re.compile(
    r"(?P<kind>Local|Remote|Dynamic)Forward(?:\s*=\s*|\s+)(?P<spec>.+)", re.IGNORECASE
)
_EVERYWHERE: Final = re.compile(r"(?:\*|0\.0\.0\.0|\[::\]|):\d+")
_FIELD: Final = re.compile(r":(?![^\[]*\])")
# A colon, unless it stands between brackets.


@dataclass(frozen=True, slots=True)
class Told:
    """What a command line says."""

    host: str = ""
    """Where it leads, without the user."""
    forwards: tuple[tuple[str, str], ...] = ()
    """As (letter, spec): ``("R", "8080:localhost:80")``."""
    opens_gateway: bool = False
    """``-g``: local ports are for other machines, too."""


def forwards_of(program: Running) -> list[ForeignTunnel]:
    """The forwards of one ssh or autossh."""
    told = read_words(program.words[1:], autossh=program.name == "autossh")
    return [
        program.tunnel("ssh", *describe(kind, spec, told.host), risks_of(kind, spec, told))
        for kind, spec in told.forwards
    ]


def read_words(words: Sequence[str], *, autossh: bool = False) -> Told:
    """What an ssh with these words, without its own name, does."""
    valued = _VALUED | {"M"} if autossh else _VALUED
    forwards: list[tuple[str, str]] = []
    host, flags = "", set()
    rest = iter(words)
    for word in rest:
        if word == "--" or (host and not word.startswith("-")):
            host = host or host_of(next(rest, ""))
            break  # what follows is a command for the far host
        if not word.startswith("-") or word == "-":
            host = host_of(word)
            continue  # ssh takes options behind the host, too
        for at, letter in enumerate(word[1:], 1):
            if letter in valued:
                value = word[at + 1 :] or next(rest, "")
                if letter in "LRD":
                    forwards.append((letter, value))
                elif letter == "o" and (match := _OPTION.fullmatch(value.strip())):
                    spec = match["spec"].strip().strip('"')
                    forwards.append((match["kind"][0].upper(), ":".join(spec.split())))
                break
            flags.add(letter)
    return Told(host, tuple(forwards), "g" in flags)


def host_of(word: str) -> str:
    """The host in ``[USER@]HOST`` or ``ssh://[USER@]HOST[:PORT]``."""
    return word.removeprefix("ssh://").rpartition("@")[2].partition("/")[0]


def describe(kind: str, spec: str, host: str) -> tuple[str, str]:
    """What one forward exposes, and where."""
    listens, target = split_spec(spec)
    far = host or "the far host"
    if kind == "D" or (kind == "R" and not target):
        whose = f"every address that {far} reaches" if kind == "D" else "every address from here"
        return f"{whose}, by SOCKS", listens if kind == "D" else f"{far} {listens}"
    if kind == "L":
        return f"{target} as {far} sees it", listens
    return target, f"{far} {listens}"


def risks_of(kind: str, spec: str, told: Told) -> tuple[str, ...]:
    """What of one forward should worry somebody."""
    listens, target = split_spec(spec)
    found = []
    if kind == "R":
        found.append(NO_GATE)
    is_wide = _EVERYWHERE.fullmatch(listens) is not None
    if kind != "R" and (is_wide or (told.opens_gateway and listens.isdigit())):
        found.append(f"other machines of this network can use it: it listens at {listens}")
    if kind == "R" and is_wide:
        found.append("it asks for every address of the far host")
    if kind == "R" and not target:
        found.append("whoever comes in reaches everything that this machine reaches")
    return tuple(found)


def split_spec(spec: str) -> tuple[str, str]:
    """Where a forward listens, and what it leads to; the last is "" for SOCKS."""
    fields = _FIELD.split(spec)
    if fields[0].startswith("/"):
        count = 1
    elif fields[-1].startswith("/"):
        count = len(fields) - 1
    else:
        count = len(fields) - 2 if len(fields) > 2 else len(fields)
    return ":".join(fields[:count]), ":".join(fields[count:])
