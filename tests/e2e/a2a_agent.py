"""An agent of the official A2A SDK, which believes that it is ``http://localhost:PORT``.

python a2a_agent.py PORT
"""

from __future__ import annotations

import sys

import uvicorn
from a2a.helpers import new_text_message
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers.default_request_handler_v2 import DefaultRequestHandlerV2
from a2a.server.routes.agent_card_routes import create_agent_card_routes
from a2a.server.routes.jsonrpc_routes import create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Role
from starlette.applications import Starlette

PORT = int(sys.argv[1])


class Echo(AgentExecutor):
    """Says what it hears."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        heard = context.get_user_input()
        await event_queue.enqueue_event(new_text_message(f"heard {heard}", role=Role.ROLE_AGENT))

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        await event_queue.enqueue_event(new_text_message("there was nothing to cancel"))


card = AgentCard(
    name="echo",
    description="says what it hears",
    version="1",
    supported_interfaces=[
        AgentInterface(
            url=f"http://localhost:{PORT}/a2a", protocol_binding="JSONRPC", protocol_version="1.0"
        )
    ],
    capabilities=AgentCapabilities(streaming=True),
    default_input_modes=["text/plain"],
    default_output_modes=["text/plain"],
    skills=[AgentSkill(id="echo", name="echo", description="echo", tags=["echo"])],
)

handler = DefaultRequestHandlerV2(Echo(), InMemoryTaskStore(), card)
app = Starlette(routes=[*create_agent_card_routes(card), *create_jsonrpc_routes(handler, "/a2a")])

if __name__ == "__main__":
    uvicorn.run(app, port=PORT, log_level="warning")
