"""The one place where concrete things are put together.

``open_tunnel`` makes a tunnel of a spec: secrets, guard, gatehouse, engine, prover, supervisor, API
socket. ``serve_relay`` starts a relay. Both leave nothing behind when they raise.
"""

from underpass.assembly.access import Access
from underpass.assembly.relay import serve_relay
from underpass.assembly.tunnel import OpenTunnel, open_tunnel

__all__ = ["Access", "OpenTunnel", "open_tunnel", "serve_relay"]
