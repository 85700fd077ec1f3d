"""Where a tunnel's traffic really ends: the declared origin, or the bridge to a stdio server."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from underpass.model.origin import Origin, parse_origin
from underpass.model.spec import TunnelSpec


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the gatehouse dials."""

    origin: Origin
    health_path: str | None
    is_ours: bool
    """It is a process of this tunnel, which no rule about our own control ports is for."""


async def deliver(spec: TunnelSpec, runtime_dir: Path, stack: AsyncExitStack) -> Delivery:
    """The place to deliver to; for ``mcp+stdio:`` a bridge is started, which ends with ``stack``.

    Raises ``StdioServerNotFound``, ``VariableNotSet``, ``StdioServerEnded`` or ``BridgeBroken``.
    """
    if not spec.origin.command:
        return Delivery(spec.origin, spec.health_path, is_ours=False)
    from underpass.bridge.keeper import BridgeKeeper
    from underpass.bridge.settings import HEALTH

    keeper = BridgeKeeper(spec.origin.command, runtime_dir, spec.pass_env)
    await keeper.start()
    stack.push_async_callback(keeper.stop)
    origin = parse_origin(f"mcp+unix://{keeper.socket}")
    return Delivery(origin, spec.health_path or HEALTH, is_ours=True)
