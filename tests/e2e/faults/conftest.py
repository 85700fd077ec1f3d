"""Everything real: processes of `underpass`, origins, visitors, and a bad network in between."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tunnel_site import Site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A place for relays and connectors; its sockets have short paths."""
    runtime = Path(tempfile.mkdtemp(prefix="up-"))
    try:
        async with Site(tmp_path, runtime) as it:
            yield it
    finally:
        shutil.rmtree(runtime, ignore_errors=True)
