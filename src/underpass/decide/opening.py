"""The words of `underpass open` for a need, and of what ends it again."""

from __future__ import annotations

from typing import Final

from underpass.decide.need import DAY, Auth, Need, Traffic
from underpass.decide.steps import Step, Target, addresses
from underpass.decide.way import GateOffer
from underpass.model.duration import format_duration
from underpass.model.origin import Kind
from underpass.model.rules import PUBLIC_LIMIT

LONGEST: Final = 366 * DAY
"""The longest lease; a longer need is a renewal."""

PROVED: Final = "prints the address once a proof has passed"


def origin_words(need: Need, target: Target) -> tuple[str, ...]:
    """The origin as it was said, where that carries what is needed; else made from its address."""
    origin, traffic = need.names.origin, need.traffic
    if origin is not None and origin.kind.value == traffic.value:
        return (str(origin),)
    if origin is not None and origin.kind is Kind.HTTP and traffic is Traffic.MCP:
        return (str(origin), "--mcp")
    if target.socket:
        scheme = {Traffic.TCP: "tcp+unix", Traffic.MCP: "mcp+unix"}.get(traffic, "unix")
        return (f"{scheme}://{target.socket}",)
    scheme = {Traffic.TCP: "tcp", Traffic.MCP: "mcp+http"}.get(traffic, "http")
    return (f"{scheme}://{target.address}",)


def open_step(
    need: Need,
    target: Target,
    offer: GateOffer,
    engine: tuple[str, ...],
    *,
    where: str = "here",
    environment: tuple[str, ...] = (),
    note: str = "",
    more: tuple[str, ...] = (),
) -> Step:
    """One command that opens, guards and proves the tunnel, by the words for ``engine``."""
    seconds = LONGEST if need.seconds is None else min(need.seconds, LONGEST)
    if offer.auth is Auth.NONE:
        seconds = min(seconds, PUBLIC_LIMIT)
    gate = tuple(word.replace("CIDR", addresses(need)) for word in offer.words)
    return Step(
        argv=(
            *("underpass", "open", *origin_words(need, target), "--name", target.label),
            *engine,
            *gate,
            *("--for", format_duration(seconds)),
            *more,
        ),
        environment=environment,
        note=note or PROVED,
        where=where,
    )


def options(**pairs: str) -> tuple[str, ...]:
    """The words that set an engine's options; those that are empty are left out."""
    said = [(key.replace("_", "-"), value) for key, value in pairs.items() if value]
    return tuple(word for key, value in said for word in ("--engine-option", f"{key}={value}"))


def seen(need: Need, target: Target) -> tuple[Step, ...]:
    """How requests are looked at, where that is wanted."""
    if not need.inspect:
        return ()
    note = "and `underpass replay ID` sends one to the origin again"
    return (Step(argv=("underpass", "requests", target.label, "--follow"), note=note),)


def closing(target: Target, left: str = "nothing is left", *more: Step) -> tuple[Step, ...]:
    """What ends it; ``left`` says what stays at the vendor, and ``more`` removes that."""
    close = Step(argv=("underpass", "close", target.label), note=f"or {_CTRL_C}; {left}")
    return (close, *more)


_CTRL_C: Final = "Ctrl-C where it was opened"
