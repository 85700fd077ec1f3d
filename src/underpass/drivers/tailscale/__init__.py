"""Tailscale as an engine: serve inside a tailnet, funnel to everybody, and mending a mesh."""
