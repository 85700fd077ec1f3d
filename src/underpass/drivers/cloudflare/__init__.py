"""Cloudflare Tunnel as an engine: cloudflared in front of the gatehouse, and its API."""
