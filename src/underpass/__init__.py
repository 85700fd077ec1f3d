"""underpass: open, guard, watch, prove and close tunnels."""

__version__ = "0.1.0"
