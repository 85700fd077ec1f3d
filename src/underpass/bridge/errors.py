"""What can go wrong with a server program behind ``mcp+stdio:``."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.model.errors import Misuse, Setup


@dataclass(eq=False)
class StdioServerNotFound(Misuse):
    """The command of ``mcp+stdio:`` names no program."""

    command: str

    code = "stdio-server-not-found"
    sentence = "cannot start the MCP server {command!r}: there is no such program"
    hint_text = "write it as you would type it: 'mcp+stdio:npx -y some-server --flag'"


@dataclass(eq=False)
class VariableNotSet(Misuse):
    """``--pass-env`` names a variable that is not there to be passed on."""

    names: tuple[str, ...]

    code = "variable-not-set"
    sentence = "cannot pass on {listed}: not set here"
    hint_text = "export it where underpass is started; its value belongs in no option"

    def _facts(self) -> dict[str, object]:
        return {"listed": ", ".join(self.names)}


@dataclass(eq=False)
class StdioServerEnded(Setup):
    """The server program ended before it had answered anything."""

    command: str

    code = "stdio-server-ended"
    sentence = "cannot serve {command!r}: it ended without a word of MCP"
    hint_text = "what it wrote stands above; run it by hand and send it a line of JSON-RPC"
    exit_code = 5


@dataclass(eq=False)
class BridgeBroken(Setup):
    """The bridge process itself did not come up."""

    why: str

    code = "bridge-broken"
    sentence = "cannot bridge a stdio MCP server: {why}"
    hint_text = "pip install 'underpass[mcp]'"
