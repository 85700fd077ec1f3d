"""WireGuard as an engine: a topology becomes keys, devices and routes, kept and proved."""
