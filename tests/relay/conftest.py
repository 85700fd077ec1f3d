"""Everything about the relay runs on both loops."""

from __future__ import annotations

import asyncio

import pytest
import uvloop


@pytest.fixture(
    scope="session",
    params=[uvloop.EventLoopPolicy, asyncio.DefaultEventLoopPolicy],
    ids=["uvloop", "asyncio"],
)
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    policy: asyncio.AbstractEventLoopPolicy = request.param()
    return policy
