"""A stdio MCP server, served over HTTP on a Unix socket: the origin of ``mcp+stdio:`` tunnels."""
