"""The way to the origin: addresses, connections, and whether it is there."""
