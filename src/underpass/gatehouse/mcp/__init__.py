"""What makes a stock MCP server work behind a public name."""
