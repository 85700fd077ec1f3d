"""A command of ours with somebody at its terminal."""

from __future__ import annotations

import asyncio
import os
import sys

from tests.e2e.stage import PATIENCE, Stage


async def at_terminal(stage: Stage, typed: str, *words: str) -> tuple[int, str]:
    """Run ``underpass WORDS`` with a terminal for its input, at which ``typed`` is typed; its exit
    code, and all that it said."""
    ours, its = os.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "underpass", *words),
            stdin=its,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=stage.environment,
            cwd=stage.home,
        )
        os.write(ours, typed.encode())
        try:
            async with asyncio.timeout(PATIENCE):
                said, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
    finally:
        os.close(its)
        os.close(ours)
    assert process.returncode is not None
    return process.returncode, said.decode()
