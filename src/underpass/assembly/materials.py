"""What the gates of one tunnel are made of: above all a memory of the webhooks that passed."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from underpass.guard.materials import Materials
from underpass.guard.private_files import private_directory
from underpass.model.options import OpenOptions
from underpass.model.spec import TunnelSpec
from underpass.observe.shown import FILE, Shown


async def make_materials(
    spec: TunnelSpec, options: OpenOptions, stack: AsyncExitStack
) -> Materials:
    """The materials for ``spec``; the memory is closed with ``stack``. Raises what its file is at
    fault with.

    A tunnel without a name of its own has another each time: what it remembers goes by the origin.
    """
    if not any(gate.kind == "signature" for gate in spec.every_gate):
        return Materials()
    whose = spec.name or f"to {spec.origin}"
    await asyncio.to_thread(private_directory, options.state_dir)
    shown = await asyncio.to_thread(Shown, options.state_dir / FILE, whose)
    stack.push_async_callback(shown.close)
    return Materials(replays=shown)
