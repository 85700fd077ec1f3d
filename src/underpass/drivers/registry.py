"""Drivers by the engine's word. The only importer of concrete drivers, each when it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Final, cast

from underpass.drivers.base import Driver
from underpass.drivers.errors import EngineNotLoaded
from underpass.model.errors_spec import EngineUnknown

GROUP: Final = "underpass.drivers"

BUILT_IN: Final = {
    "bore": "underpass.drivers.bore:BoreDriver",
    "cloudflare": "underpass.drivers.cloudflare.driver:CloudflareDriver",
    "ngrok": "underpass.drivers.ngrok.driver:NgrokDriver",
    "relay": "underpass.drivers.relay_driver:RelayDriver",
    "ssh": "underpass.drivers.ssh.driver:SshDriver",
    "ssh-service": "underpass.drivers.ssh_service:SshServiceDriver",
    "wireguard": "underpass.drivers.wireguard.driver:WireGuardDriver",
    "tailscale": "underpass.drivers.tailscale.driver:TailscaleDriver",
}
"""Where the drivers that come with us are; one more line makes an engine known."""


_registered: dict[str, Callable[[], Driver]] = {}


def register(engine: str, make: Callable[[], Driver]) -> None:
    """Make a driver known in this process, for programs that bring their own without installing
    it. Takes the place of an earlier one of that name, but not of a built-in one."""
    _registered[engine] = make


def known() -> tuple[str, ...]:
    """Every engine that has a driver here; nothing is imported."""
    plugged = (point.name for point in entry_points(group=GROUP))
    return tuple(dict.fromkeys([*BUILT_IN, *_registered, *plugged]))


def load(engine: str) -> Driver:
    """The driver for ``engine``; a built-in one wins over a plug-in of the same name.

    Raises ``EngineUnknown`` and ``EngineNotLoaded``.
    """
    if engine in BUILT_IN:
        return _make(engine, EntryPoint(engine, BUILT_IN[engine], GROUP))
    if engine in _registered:
        return _registered[engine]()
    for point in entry_points(group=GROUP):
        if point.name == engine:
            return _make(engine, point)
    raise EngineUnknown(engine=engine, known=", ".join(known()))


def load_all(engines: Iterable[str] | None = None) -> list[Driver]:
    """The drivers for ``engines``, all known ones when None."""
    return [load(engine) for engine in (known() if engines is None else engines)]


def _make(engine: str, point: EntryPoint) -> Driver:
    try:
        module = import_module(point.module)
        made = getattr(module, point.attr)()
    except Exception as error:
        why = f"{point.value}: {type(error).__name__}: {error}"
        raise EngineNotLoaded(engine=engine, why=why) from error
    return cast(Driver, made)
