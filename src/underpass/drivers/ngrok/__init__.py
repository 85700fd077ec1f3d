"""ngrok as an engine: its agent, or its SDK in a process of its own, behind the gatehouse."""
