"""Public test kit: bad networks, real origins, clocks moved by hand, canary secrets.

For tests of this project and of programs that use it. Nothing here is imported by the product.

- `underpass.testing.fault_proxy`: a TCP proxy that delays, throttles, swallows, cuts and resets
- `underpass.testing.network`: network namespaces with packet loss and NAT (Linux, root)
- `underpass.testing.origins`: real servers, each with one habit
- `underpass.testing.clock`: a clock and an event loop that move when told to
- `underpass.testing.ports`: ports that nobody else gets by chance
- `underpass.testing.canary`: finds secrets where they must not be
- `underpass.testing.certificates`: throw-away certificates
- `underpass.testing.driver_suite`: what every driver must pass, with `driver_bench` to fill in
- `underpass.testing.loopback_engine`: the smallest engine, a model for a new driver
- `underpass.testing.hostile`: strings that no program may get as anything but what they are
- `underpass.testing.gate_suite`: the same for gates, with `gate_bench`

Under pytest, which is not needed otherwise, the asserts in here tell their values as a test's do.
"""

from __future__ import annotations

import pkgutil
import sys

if "pytest" in sys.modules:
    import pytest

    pytest.register_assert_rewrite(
        *(module.name for module in pkgutil.iter_modules(__path__, f"{__name__}."))
    )
