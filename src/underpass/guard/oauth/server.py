"""The authorization server of one tunnel: what it answers to requests, clients and registrations.

Nothing awaits: each call is one synchronous step on the books. Who signs in, and how a person is
asked, is not known here.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from authlib.common.urls import add_params_to_uri
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidRequestError

from underpass.guard.oauth.authlib_server import AuthlibServer, FormRequest, Reply
from underpass.guard.oauth.books import Books
from underpass.guard.oauth.parameters import (
    NAMED,
    WORDS,
    Parameters,
    check_basic,
    check_characters,
    check_once,
    read_form,
)
from underpass.guard.oauth.place import SCOPE
from underpass.guard.oauth.records import Client, Visitor
from underpass.guard.oauth.registration import read_registration
from underpass.guard.secrets import hash_token


class RequestRefused(Exception):
    """An authorization request that must not be answered by a redirect, since who asks, or where
    the answer would go, is not known: the person in the browser is told."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Asked:
    """A valid authorization request: what a person is asked to consent to."""

    client: Client
    redirect_uri: str
    parameters: Parameters = field(repr=False)


class AuthorizationServer:
    """Answers for one tunnel; needs ``books.place`` to be known."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self._authlib: Any = AuthlibServer(books)

    def ask(self, parameters: Parameters) -> Asked | Reply:
        """Judge an authorization request. A ``Reply`` is an error that the client may be sent.

        Raises ``RequestRefused`` when nobody may be sent anything.
        """
        self._check_addressee(parameters)
        request = self._request("GET", parameters)
        try:
            grant = self._authlib.get_consent_grant(request, None)
        except OAuth2Error as error:
            if not error.redirect_uri:
                raise RequestRefused(error.get_error_description() or str(error.error)) from None
            return self._redirected(error)
        return Asked(grant.client, grant.redirect_uri, parameters)

    def grant(self, asked: Asked, visitor: Visitor | None) -> Reply:
        """Answer what was asked: with a code for ``visitor``, or, with None, that it was denied.

        Everything is judged again. Raises ``RequestRefused`` as ``ask`` does.
        """
        judged = self.ask(asked.parameters)
        if isinstance(judged, Reply):
            return judged
        request = self._request("GET", asked.parameters)
        grant = self._authlib.get_consent_grant(request, visitor)
        if visitor is not None:
            self.books.admit(judged.client)
        reply: Reply = self._authlib.create_authorization_response(request, visitor, grant)
        return reply

    def token(self, body: bytes, authorization: str) -> Reply:
        """Answer a request at the token endpoint."""
        return self._form(body, authorization, self._authlib.create_token_response)

    def revoke(self, body: bytes, authorization: str) -> Reply:
        """Answer a request at the revocation endpoint."""
        return self._form(
            body,
            authorization,
            lambda request: self._authlib.create_endpoint_response("revocation", request),
        )

    def register(self, body: bytes) -> Reply:
        """Answer a registration."""
        try:
            try:
                told = json.loads(body)
            except (ValueError, RecursionError):
                raise InvalidRequestError("the body is no JSON") from None
            if not isinstance(told, dict):
                raise InvalidRequestError("the body is no JSON object")
            client_id, secret = secrets.token_urlsafe(16), secrets.token_urlsafe(32)
            client = read_registration(told, client_id, hash_token(secret))
            self.books.register(client)
        except OAuth2Error as error:
            return self._refused(error)
        now = int(self.books.unix())
        document: dict[str, object] = {
            "client_id": client_id,
            "client_id_issued_at": now,
            "client_name": client.name,
            "redirect_uris": list(client.redirect_uris),
            "grant_types": list(client.grant_types),
            "response_types": ["code"],
            "token_endpoint_auth_method": client.auth_method,
            "scope": SCOPE,
        }
        if told.get("application_type"):
            document["application_type"] = told["application_type"]
        if client.secret_hash:
            document |= {"client_secret": secret, "client_secret_expires_at": 0}
        return Reply(201, json.dumps(document).encode(), list(_JSON))

    def _form(
        self, body: bytes, authorization: str, answer: Callable[[FormRequest], Reply]
    ) -> Reply:
        try:
            parameters = read_form(body)
            check_once(parameters)
            check_characters(parameters)
            self._authlib.check_resource(parameters)
            check_basic(authorization)
        except OAuth2Error as error:
            return self._refused(error)
        except ValueError:
            return self._refused(InvalidRequestError("the body is no form"))
        headers = {"Authorization": authorization} if authorization else {}
        return answer(self._request("POST", parameters, headers))

    def _request(
        self, method: str, parameters: Parameters, headers: Mapping[str, str] | None = None
    ) -> FormRequest:
        return FormRequest(method, self._authlib.place.issuer, parameters, headers or {})

    def _check_addressee(self, parameters: Parameters) -> None:
        """What must hold before an error may be sent to the client at all."""
        for name, allowed in _ADDRESSING.items():
            values = [value for each, value in parameters if each == name]
            if len(values) > 1:
                raise RequestRefused(f"the request names {name} more than once")
            if not all(allowed.fullmatch(value) for value in values):
                raise RequestRefused(f"the request's {name} holds characters that none can have")
        if not dict(parameters).get("client_id"):
            raise RequestRefused("the request does not say who asks")

    def _refused(self, error: OAuth2Error) -> Reply:
        reply: Reply = self._authlib.handle_response(*error())
        return reply

    def _redirected(self, error: OAuth2Error) -> Reply:
        reply = self._refused(error)
        named = [("iss", self._authlib.place.issuer)]
        reply.location = add_params_to_uri(reply.location, named)
        return reply


_ADDRESSING: Final = {"client_id": NAMED, "redirect_uri": NAMED, "response_type": WORDS}
"""What decides who is answered, and where; authlib repeats these in what it says."""

_JSON: Final = [
    ("Content-Type", "application/json"),
    ("Cache-Control", "no-store"),
    ("Pragma", "no-cache"),
]
