"""Listening sockets: bound before anything is promised, and a clear word when they cannot be."""

from __future__ import annotations

import errno
import socket
from typing import Final

from underpass.relay.server.errors import CannotListen

_REASONS: Final = {
    errno.EACCES: "ports below 1024 need rights of their own",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket. Without a host: all addresses. Raises ``CannotListen``."""
    if not host:
        host = "::" if socket.has_dualstack_ipv6() else "0.0.0.0"
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise CannotListen(shown, "the host is not known") from None
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        # A restarted relay gets its ports back while old connections are still in TIME_WAIT.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
        sock.bind(address)
        sock.listen(1024)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(shown, holder_of(port)) from None
        reason = _REASONS.get(error.errno or 0) or (error.strerror or str(error)).lower()
        raise CannotListen(shown, reason) from None
    return sock


def holder_of(port: int) -> str:
    """Who listens on a port, as far as this user may see it."""
    import psutil  # only once something has gone wrong

    try:
        for connection in psutil.net_connections("tcp"):
            local, pid = connection.laddr, connection.pid
            if connection.status == psutil.CONN_LISTEN and local and local.port == port and pid:
                return f"held by {psutil.Process(pid).name()} (pid {pid})"
    except (psutil.Error, OSError):
        pass
    return "another program holds it"
