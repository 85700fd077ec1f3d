"""A server of the official SDK, with what the conformance suite and our own stories ask for.

    python mcp_fixture_server.py http PORT      both later transports, at /mcp
    python mcp_fixture_server.py sse PORT       the oldest transport, at /sse
    python mcp_fixture_server.py stdio          stdin and stdout

The names beginning with ``test_`` are the suite's own (npm @modelcontextprotocol/conformance).
"""

from __future__ import annotations

import asyncio
import base64
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.prompts.base import Message, UserMessage
from mcp_types import (
    AudioContent,
    Completion,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)

warnings.simplefilter("ignore")  # logging and sampling are on their way out, and still asked for

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg"
    "=="
)
SILENCE = base64.b64encode(b"RIFF$\0\0\0WAVEfmt ").decode()

server = MCPServer("fixture", version="1")


def text_at(uri: str, text: str) -> EmbeddedResource:
    resource = TextResourceContents(uri=uri, mimeType="text/plain", text=text)
    return EmbeddedResource(type="resource", resource=resource)


def picture() -> ImageContent:
    return ImageContent(type="image", data=PIXEL, mimeType="image/png")


# Our own stories.


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def process() -> int:
    """Which process answers."""
    return os.getpid()


@server.tool()
async def count_down(context: Context, start: int, interval: float) -> str:
    """Count down, reporting every step."""
    for step in range(start + 1):
        await context.report_progress(step, start)
        await asyncio.sleep(interval)
    return f"counted {start} steps"


@server.tool()
async def change(context: Context) -> str:
    """Tell all who listen that the resources have changed."""
    await context.notify_resources_changed()
    return "told"


def note(diary: str, words: str) -> None:
    Path(diary).write_text(words)


@server.tool()
async def linger(diary: str) -> str:
    """Write down when it begins, and how it ends: by itself or cancelled."""
    note(diary, "begun")
    try:
        while not Path(diary + ".go").exists():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        note(diary, "cancelled")
        raise
    note(diary, "done")
    return "done"


@server.tool()
def die(words: str) -> str:
    """Say something on stderr and end the process."""
    os.write(2, words.encode() + b"\n")
    os._exit(3)


# The conformance suite's.


@server.tool()
def test_simple_text() -> str:
    """One text."""
    return "This is a simple text response for testing."


@server.tool()
def test_image_content() -> list[ImageContent]:
    """One picture."""
    return [picture()]


@server.tool()
def test_audio_content() -> list[AudioContent]:
    """One sound."""
    return [AudioContent(type="audio", data=SILENCE, mimeType="audio/wav")]


@server.tool()
def test_embedded_resource() -> list[EmbeddedResource]:
    """One resource within."""
    return [text_at("test://embedded-resource", "This is an embedded resource content.")]


@server.tool()
def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    """Text, picture and resource."""
    return [
        TextContent(type="text", text="Multiple content types test:"),
        picture(),
        text_at("test://mixed-content-resource", '{"test":"data","value":123}'),
    ]


@server.tool()
async def test_tool_with_logging(context: Context) -> str:
    """Three log messages on the way."""
    for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await context.info(words)
        await asyncio.sleep(0.05)
    return "logged"


@server.tool()
async def test_tool_with_progress(context: Context) -> str:
    """Three steps on the way."""
    for done in (0, 50, 100):
        await context.report_progress(done, 100)
        await asyncio.sleep(0.05)
    return "progressed"


@server.tool()
def test_error_handling() -> str:
    """Always fails."""
    raise ValueError("This tool intentionally returns an error for testing")


@server.tool()
async def test_sampling(context: Context, prompt: str) -> str:
    """Asks the client for a completion."""
    asked = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    answer = await context.session.create_message(
        [asked], max_tokens=100, related_request_id=context.request_id
    )
    return f"LLM response: {answer.content}"


async def elicit(context: Context, message: str, properties: dict[str, Any]) -> str:
    schema = {"type": "object", "properties": properties, "required": []}
    answer = await context.session.elicit(message, schema, context.request_id)
    return f"User response: action={answer.action}, content={answer.content}"


@server.tool()
async def test_elicitation(context: Context, message: str) -> str:
    """Asks the client's user."""
    name = {"type": "string", "description": "User's response"}
    return await elicit(context, message, {"username": name, "email": name})


@server.tool()
async def test_elicitation_sep1034_defaults(context: Context) -> str:
    """Asks with defaults."""
    return await elicit(
        context,
        "defaults",
        {
            "name": {"type": "string", "default": "John Doe"},
            "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5},
            "status": {
                "type": "string",
                "enum": ["active", "inactive", "pending"],
                "default": "active",
            },
            "verified": {"type": "boolean", "default": True},
        },
    )


@server.tool()
async def test_elicitation_sep1330_enums(context: Context) -> str:
    """Asks with choices."""
    options = ["option1", "option2", "option3"]
    titled = [
        {"const": "value1", "title": "First"},
        {"const": "value2", "title": "Second"},
        {"const": "value3", "title": "Third"},
    ]
    return await elicit(
        context,
        "enums",
        {
            "untitledSingle": {"type": "string", "enum": options},
            "titledSingle": {"type": "string", "oneOf": titled},
            "legacyEnum": {
                "type": "string",
                "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"],
            },
            "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
            "titledMulti": {"type": "array", "items": {"anyOf": titled}},
        },
    )


@server.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    return base64.b64decode(PIXEL)


@server.resource("test://watched-resource", mime_type="text/plain")
def watched() -> str:
    return "watched"


@server.resource("test://template/{id}/data", mime_type="application/json")
def template(id: str) -> str:
    return f'{{"id":"{id}","templateTest":true,"data":"Data for ID: {id}"}}'


@server.prompt()
def test_simple_prompt() -> str:
    """One message."""
    return "This is a simple prompt for testing."


@server.prompt()
def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """A message with two arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@server.prompt()
def test_prompt_with_embedded_resource(resourceUri: str) -> list[Message]:
    """A resource and a message."""
    return [
        UserMessage(text_at(resourceUri, "Embedded resource content for testing.")),
        UserMessage("Please process the embedded resource above."),
    ]


@server.prompt()
def test_prompt_with_image() -> list[Message]:
    """A picture and a message."""
    return [UserMessage(picture()), UserMessage("Please analyze the image above.")]


@server.completion()
async def complete(ref: object, argument: object, context: object) -> Completion:
    return Completion(values=["test1", "test2"], total=2, has_more=False)


async def accept(context: object, params: object) -> EmptyResult:
    return EmptyResult()


for method, params in (
    ("logging/setLevel", SetLevelRequestParams),
    ("resources/subscribe", SubscribeRequestParams),
    ("resources/unsubscribe", UnsubscribeRequestParams),
):
    server._lowlevel_server.add_request_handler(method, params, accept)


def main(transport: str, port: int = 0) -> None:
    if transport == "http":
        server.run("streamable-http", port=port)
    elif transport == "sse":
        server.run("sse", port=port)
    else:
        server.run("stdio")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, filter(str.isdecimal, sys.argv[2:])))
