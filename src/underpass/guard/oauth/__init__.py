"""OAuth for one tunnel: who may ask, what was granted, what a token opens. No sockets, no pages."""
