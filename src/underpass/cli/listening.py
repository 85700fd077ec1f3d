"""Why a local address cannot be listened on, in words that say whom to ask."""

from __future__ import annotations

import errno
import os

from underpass.cli.errors import ListenRefused
from underpass.cli.options import format_address


def listen_refused(address: tuple[str, int], error: OSError) -> ListenRefused:
    """The error of ours for what the operating system said; a port's holder is named."""
    if error.errno == errno.EADDRINUSE:
        from underpass.relay.server.sockets import holder_of

        why = holder_of(address[1])
    elif error.errno is not None and error.errno > 0:
        # asyncio's own words repeat the address; those of the operating system do not.
        why = os.strerror(error.errno).lower()
    else:
        why = (error.strerror or str(error)).lower()  # of the resolver, whose numbers are below 0
    return ListenRefused(format_address(address), why)
