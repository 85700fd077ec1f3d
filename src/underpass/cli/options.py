"""Options and argument types that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

json_option = click.option(
    "--json", "as_json", is_flag=True, allow_from_autoenv=False, help="Print JSON."
)
"""Not settable by file or variable: what reads the output must have asked for its form."""


class AddressType(click.ParamType[tuple[str, int]]):
    """``HOST:PORT``, ``[V6]:PORT`` or ``:PORT`` for all addresses; port 0 takes a free one."""

    name = "HOST:PORT"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        host, colon, port = str(value).rpartition(":")
        if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
            self.fail(f"{value!r} is not HOST:PORT with a port from 0 to 65535", param, ctx)
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            self.fail(f"{value!r} has an IPv6 address without brackets", param, ctx)
        return host, int(port)


class PairType(click.ParamType[tuple[str, str]]):
    """``KEY=VALUE``; the value may be empty and may hold more of ``=``."""

    name = "KEY=VALUE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, equals, rest = str(value).partition("=")
        if not key or not equals:
            self.fail(f"{value!r} is not KEY=VALUE", param, ctx)
        return key, rest


class PortRangeType(click.ParamType[range]):
    """``FIRST-LAST``, both included."""

    name = "FIRST-LAST"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> range:
        if isinstance(value, range):
            return value
        first, _, last = str(value).partition("-")
        if not (first.isdigit() and last.isdigit() and 0 < int(first) <= int(last) < 65_536):
            self.fail(f"{value!r} is not FIRST-LAST with ports from 1 to 65535", param, ctx)
        return range(int(first), int(last) + 1)


class SecondsType(click.ParamType[int]):
    """A duration as people write it: ``90s``, ``2h``, ``1d``.

    With ``bare``, digits alone are seconds: for time-outs, where every other tool reads them so. A
    lease must name its unit.
    """

    name = "DURATION"

    def __init__(self, *, bare: bool = False) -> None:
        self.bare = bare

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from underpass.model.duration import parse_duration

        text = str(value)
        if self.bare and text.isascii() and text.isdigit():
            text += "s"
        return value if isinstance(value, int) else parse_duration(text)


def format_address(address: tuple[str, int]) -> str:
    """``HOST:PORT`` as ``AddressType`` reads it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def name_argument(function: Decorated) -> Decorated:
    """The NAME of an open tunnel; completes to those of this machine."""
    return click.argument("name", metavar="NAME", shell_complete=complete_tunnel)(function)


def optional_name_argument(function: Decorated) -> Decorated:
    """The same, where something else may be named in its place."""
    return click.argument("name", metavar="[NAME]", required=False, shell_complete=complete_tunnel)(
        function
    )


def complete_tunnel(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of the tunnels that are open on this machine."""
    from underpass.api.discovery import survey
    from underpass.api.places import runtime_dir

    return [
        found.name
        for found in survey(runtime_dir(), seconds=0.5).found
        if found.name.startswith(incomplete)
    ]


def complete_variable(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of the environment's variables; never a value."""
    return sorted(name for name in os.environ if name.startswith(incomplete))


def complete_engine(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Engines that there are drivers for, plug-ins too; none is loaded."""
    from underpass.drivers.registry import known

    return [engine for engine in known() if engine.startswith(incomplete)]


def complete_gate(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Kinds of gates, also the last of several: ``bearer+i``, ``/mcp=oa``."""
    from underpass.model.gates import GATE_KINDS

    begun = max(incomplete.rfind(mark) for mark in "=+|") + 1
    before, last = incomplete[:begun], incomplete[begun:]
    kinds = (*GATE_KINDS, "open") if "=" in before else GATE_KINDS
    return [before + kind for kind in kinds if kind.startswith(last)]
