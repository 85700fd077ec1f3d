"""The numbers of the front doors, in one typed table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """How long and how much an edge takes from a visitor. Seconds and bytes."""

    head_seconds: float = 10.0
    """A head, a PROXY header or a ClientHello must be complete after this, counted from its first
    byte (a ClientHello: from the connection), however steadily it drips (slowloris)."""
    idle_seconds: float = 75.0
    """A connection that has not begun a request is closed. nginx's default for keep-alive."""
    handshake_seconds: float = 10.0
    """The TLS handshake, from ClientHello to its end."""
    body_grace_seconds: float = 10.0
    """A request body may be slow for this long while we are reading it …"""
    body_min_rate: int = 1024
    """… and must then have averaged this many bytes a second."""
    write_stall_seconds: float = 30.0
    """A visitor that takes not one byte of its answer for this long has left."""
    hold_seconds: float = 5.0
    """A new request waits this long for a connector."""
    heartbeat_seconds: float = 15.0
    """Silence on an event stream after which a comment line is sent. The reapers seen in the wild
    strike from 60 s on."""
    sweep_seconds: float = 0.9
    """How often timers and half-seen departures are looked at: a departure is passed on within
    the second."""
    linger_seconds: float = 2.0
    """After an answer that ended the connection early: how long what still arrives is thrown away,
    so that a RST does not overtake the answer."""
    linger_bytes: int = 256 * 1024
    read_size: int = 64 * 1024
    """Most that one wake-up reads from one visitor's HTTP connection. The lane's first credit is as
    large."""
    byte_read_size: int = 256 * 1024
    """The same of a visitor whose bytes are passed on as they are, where the stream takes as much:
    one DATA frame of a stream that is alone."""
    connections_per_source: int = 1024
    """Connections from one IPv4 address or one IPv6 /64 at a time; 0: no limit."""
    accepts_per_turn: int = 64
    """Connections accepted before other events get their turn."""
