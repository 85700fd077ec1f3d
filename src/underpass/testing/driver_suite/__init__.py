"""The conformance suite that every driver passes: the same for ours and for a plug-in.

    from underpass.testing.driver_bench import DriverBench
    from underpass.testing.driver_suite import DriverSuite

    class MyBench(DriverBench):
        engine = "mine"
        async def start(self): ...      # the engine's far end

    class TestMine(DriverSuite):
        @pytest.fixture
        async def bench(self, tmp_path):
            async with MyBench(...) as bench:
                yield bench

Everything goes through the product: a tunnel is opened, proved, visited through its public
address, broken and closed. What an engine cannot do, its bench says with a reason, and the test
is skipped with it (``unittest.SkipTest``).
"""

from __future__ import annotations

from underpass.testing.driver_suite.breaking import Breaking
from underpass.testing.driver_suite.carrying import Carrying
from underpass.testing.driver_suite.leaving import Leaving
from underpass.testing.driver_suite.refusing import Refusing, write_stub
from underpass.testing.driver_suite.steps import bearer, change, gone, refusal, url_of

__all__ = [
    "DriverSuite",
    "bearer",
    "change",
    "gone",
    "refusal",
    "url_of",
    "write_stub",
]


class DriverSuite(Carrying, Breaking, Refusing, Leaving):
    """Subclass it, and give it a fixture ``bench``."""
