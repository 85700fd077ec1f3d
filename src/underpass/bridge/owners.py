"""Whose a session is: its id alone opens nothing.

The gatehouse says in a field of its own who passed the gates; a visitor's field of that name never
comes this far. Where gates tell nobody apart, everybody is the same visitor.
"""

from __future__ import annotations

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.types import Scope

from underpass.gatehouse.rewrite import VISITOR_FIELD

_FIELD = VISITOR_FIELD.lower()


def visitor_of(scope: Scope) -> str:
    """Who asks, as the gates know; "" when they do not."""
    for name, value in scope["headers"]:
        if name == _FIELD:
            return str(value.decode("latin-1"))
    return ""


def with_user(scope: Scope) -> Scope:
    """``scope`` with who asks in the form that the official SDK binds sessions to."""
    visitor = visitor_of(scope)
    token = AccessToken(token="", client_id=visitor, scopes=[], subject=visitor)
    return {**scope, "user": AuthenticatedUser(token)}
