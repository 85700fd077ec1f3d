"""Benches for stories that are Cloudflare's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.engines.cloudflare.bench import CloudflareBench, CredentialsBench, QuickBench


@pytest.fixture
async def named(tmp_path: Path, runtime: Path) -> AsyncIterator[CloudflareBench]:
    async with CloudflareBench(tmp_path, runtime) as bench:
        yield bench


@pytest.fixture
async def own(tmp_path: Path, runtime: Path) -> AsyncIterator[CredentialsBench]:
    async with CredentialsBench(tmp_path, runtime) as bench:
        yield bench


@pytest.fixture
async def quick(tmp_path: Path, runtime: Path) -> AsyncIterator[QuickBench]:
    async with QuickBench(tmp_path, runtime) as bench:
        yield bench
