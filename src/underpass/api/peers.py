"""Who is at the other end of a Unix socket, where the operating system says so.

Mode 0600 in a 0700 directory already keeps other users away; this holds even if a mode is
loosened after the check, or the socket is handed on.
"""

from __future__ import annotations

import os
import socket
import struct
import sys


def peer_uid(sock: socket.socket) -> int | None:
    """The user at the other end; None where this system cannot tell."""
    if sys.platform == "linux":
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", raw)[1])  # struct ucred: pid, uid, gid
    option = getattr(socket, "LOCAL_PEERCRED", None)
    if option is None:
        return None
    raw = sock.getsockopt(0, option, 128)  # struct xucred: version, uid, groups
    return int(struct.unpack_from("II", raw)[1])


def is_owner(sock: socket.socket) -> bool:
    """Whether the other end belongs to the user of this process, or to root."""
    uid = peer_uid(sock)
    return uid is None or uid in (os.getuid(), 0)
