"""authlib's authorization server with one tunnel's rules and memory.

The flows, errors and challenges are authlib's (``docs/decisions/oauth-server.md`` says why). What
is decided here is narrower than what it allows: PKCE with S256 always, one resource, one scope, no
parameter twice, a code once, refresh tokens rotated with their family revoked on reuse.

authlib's types say less than its code does, so what it hands over and takes is ``Any`` here.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer as Base
from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Request
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9207 import IssuerParameter

from underpass.guard.oauth.books import CODE_SECONDS, Books
from underpass.guard.oauth.parameters import Parameters, check_characters, check_once
from underpass.guard.oauth.place import AUTH_METHODS, SCOPE, Place
from underpass.guard.oauth.records import Code, Grant

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
"""S256 is 32 bytes in base64url: anything else is not one."""


@dataclass(slots=True)
class Reply:
    """An answer to a client or browser."""

    status: int
    body: bytes = field(repr=False)
    headers: list[tuple[str, str]] = field(repr=False)

    @property
    def location(self) -> str:
        """Where it redirects to; "" when it does not."""
        return next((value for name, value in self.headers if name == "Location"), "")

    @location.setter
    def location(self, value: str) -> None:
        kept = [(name, old) for name, old in self.headers if name != "Location"]
        self.headers = [*kept, ("Location", value)]


class InvalidTargetError(OAuth2Error):
    """RFC 8707: the resource is not the one this server is for."""

    error = "invalid_target"


class Payload:
    """One request's parameters, as authlib wants them."""

    def __init__(self, parameters: Parameters) -> None:
        # An empty value is as good as none (RFC 6749, 3.1).
        self.data = {name: value for name, value in parameters if value}
        self.datalist: dict[str, list[str]] = {}
        for name, value in parameters:
            self.datalist.setdefault(name, []).append(value)
        self.client_id = self.data.get("client_id")
        self.response_type = self.data.get("response_type")
        self.grant_type = self.data.get("grant_type")
        self.redirect_uri = self.data.get("redirect_uri")
        self.scope = self.data.get("scope")
        self.state = self.data.get("state")


class FormRequest(OAuth2Request):
    """A request whose parameters have been read already."""

    def __init__(
        self, method: str, issuer: str, parameters: Parameters, headers: Mapping[str, str]
    ) -> None:
        super().__init__(method, issuer, headers=dict(headers))
        self.payload: Any = Payload(parameters)

    @property
    def form(self) -> dict[str, str]:
        found: dict[str, str] = self.payload.data
        return found


class _Tokens(dict[str, Any]):
    """A token response that does not show itself: authlib hands it to its debug log."""

    def __repr__(self) -> str:
        return "_Tokens(hidden)"


class _S256(CodeChallenge):
    """PKCE that cannot be left out, by S256 that must be named."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]  # noqa: RUF012  as in authlib
    DEFAULT_CODE_CHALLENGE_METHOD = "S256"

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        given = grant.request.payload.data
        if not given.get("code_challenge"):
            raise InvalidRequestError("PKCE is needed: code_challenge is missing")
        if given.get("code_challenge_method") != "S256":
            raise InvalidRequestError("code_challenge_method must be S256")
        if not _CHALLENGE.fullmatch(given["code_challenge"]):
            raise InvalidRequestError("code_challenge is no S256 challenge")
        super().validate_code_challenge(grant, redirect_uri)


class _CodeGrant(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = list(AUTH_METHODS)  # noqa: RUF012  as in authlib
    request: Any

    def validate_authorization_request(self) -> str:
        redirect_uri: str = super().validate_authorization_request()
        parameters = tuple(
            (name, value)
            for name, values in self.request.payload.datalist.items()
            for value in values
        )
        try:
            self.server.check_resource(parameters)
            check_once(parameters)
            check_characters(parameters)
        except OAuth2Error as error:
            error.redirect_uri = redirect_uri
            raise
        return redirect_uri

    def generate_authorization_code(self) -> str:
        return secrets.token_urlsafe(32)

    def save_authorization_code(self, code: str, request: Any) -> None:
        books: Books = self.server.books
        record = Code(
            request.client.client_id,
            request.payload.redirect_uri or "",
            request.payload.data["code_challenge"],
            request.user,
            self.server.place.resource,
            books.now() + CODE_SECONDS,
        )
        books.give_code(code, record)

    def query_authorization_code(self, code: str, client: Any) -> Code | None:
        found: Code | None = self.server.books.look_up_code(code, client)
        return found

    def authenticate_user(self, authorization_code: Any) -> Any:
        return authorization_code.visitor

    def delete_authorization_code(self, authorization_code: Any) -> None:
        self.server.books.spend_code(self.request.form["code"], self.request.grant_record.family)


class _RefreshGrant(RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = list(AUTH_METHODS)  # noqa: RUF012  as in authlib
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Any:
        return self.server.books.look_up_refresh(refresh_token)

    def authenticate_user(self, refresh_token: Any) -> Any:
        return refresh_token.visitor

    def revoke_old_credential(self, refresh_token: Any) -> None:
        """The new one took its place when it was made."""


class _Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = list(AUTH_METHODS)  # noqa: RUF012  as in authlib

    def query_token(self, token_string: str, token_type_hint: str | None) -> Grant | None:
        found: Grant | None = self.server.books.find_for_revocation(token_string)
        return found

    def revoke_token(self, token: Grant, request: Any) -> None:
        self.server.books.revoke(token.family)


class _Issuer(IssuerParameter):
    def __init__(self, server: AuthlibServer) -> None:
        self._server = server
        super().__call__(server)

    def get_issuer(self) -> str:
        return self._server.place.issuer


class AuthlibServer(Base):
    """authlib's server on our books."""

    def __init__(self, books: Books) -> None:
        super().__init__()
        self.books = books
        self.register_grant(_CodeGrant, [_S256(required=True)])
        self.register_grant(_RefreshGrant)
        self.register_endpoint(_Revocation)
        self.register_extension(_Issuer)

    @property
    def place(self) -> Place:
        """Where it is."""
        assert self.books.place is not None
        return self.books.place

    def check_resource(self, parameters: Parameters) -> None:
        """RFC 8707. A request that names none means ours: there is no other."""
        named = [value for name, value in parameters if name == "resource"]
        if len(named) > 1 or (named and not self.place.names_resource(named[0])):
            raise InvalidTargetError("this server gives tokens for one resource, and not for that")

    def query_client(self, client_id: str) -> Any:
        return self.books.client(client_id)

    def generate_token(
        self,
        grant_type: str,
        client: Any,
        user: Any = None,
        scope: str | None = None,
        expires_in: int | None = None,
        include_refresh_token: bool = True,
    ) -> dict[str, Any]:
        # Made in ``save_token``, where the request is known.
        return _Tokens(include_refresh_token=include_refresh_token)

    def save_token(self, token: dict[str, Any], request: Any) -> None:
        books = self.books
        wants_refresh = token.pop("include_refresh_token")
        grant = request.refresh_token
        if grant is None:
            grant = books.open_grant(request.client, request.authorization_code)
        request.grant_record = grant
        access, seconds = books.give_access(grant)
        token |= {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": seconds,
            "scope": SCOPE,
        }
        if wants_refresh:
            spent = request.form["refresh_token"] if request.refresh_token else ""
            token["refresh_token"] = books.give_refresh(grant, spent)

    def create_oauth2_request(self, request: Any) -> Any:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> Reply:
        content = json.dumps(body).encode() if isinstance(body, dict) else body.encode()
        return Reply(status, content, list(headers))

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""
