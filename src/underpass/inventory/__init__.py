"""Which tunnels are on this machine that we did not open: by whose program, to what, since when."""
