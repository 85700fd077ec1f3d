"""Where a tunnel's authorization server is found, and the documents that say so.

Everything here follows from one public URL and the path of what is guarded: the issuer is the
URL's origin, the resource is what clients dial (RFC 8707, RFC 9728). Pure; nothing of a request
is ever written into a document.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final
from urllib.parse import urlsplit

SCOPE: Final = "tunnel"
"""The only scope: to call what is behind the tunnel. Some clients need one to ask for."""

OWN: Final = "/.underpass/oauth"
"""Below this path nothing reaches the origin."""

_RESOURCE_WORD: Final = "/.well-known/oauth-protected-resource"
_SERVER_WORDS: Final = (
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
)
_LOOPBACK: Final = frozenset(("127.0.0.1", "::1", "localhost"))
AUTH_METHODS: Final = ("none", "client_secret_post", "client_secret_basic")


@dataclass(frozen=True)
class Place:
    """The addresses of one tunnel's authorization server."""

    issuer: str
    """``https://HOST[:PORT]``: never with a path or a slash at its end."""
    path: str = ""
    """Path of the guarded resource, "" for all of the tunnel; never a slash at its end."""

    @property
    def resource(self) -> str:
        """The canonical resource: what tokens are for."""
        return self.issuer + self.path

    @cached_property
    def challenge(self) -> bytes:
        """``WWW-Authenticate`` for a visitor without a token."""
        return f'Bearer resource_metadata="{self.issuer}{_RESOURCE_WORD}{self.path}"'.encode()

    @cached_property
    def challenge_invalid(self) -> bytes:
        """``WWW-Authenticate`` for a visitor whose token is none of ours, or no longer."""
        return b'%b, error="invalid_token"' % self.challenge

    def names_resource(self, text: str) -> bool:
        """Whether ``text`` names the resource; one slash at its end makes no difference."""
        return text in (self.resource, self.resource + "/")

    @cached_property
    def resource_paths(self) -> frozenset[str]:
        """Where the resource's document is asked for: path-inserted, with a slash, and the root."""
        inserted = _RESOURCE_WORD + self.path
        return frozenset((inserted, inserted + "/", _RESOURCE_WORD))

    @cached_property
    def server_paths(self) -> frozenset[str]:
        """Where clients ask for the server's document: the issuer's own addresses, and those that
        follow from taking the resource for the issuer."""
        found = set(_SERVER_WORDS)
        if self.path:
            found |= {word + self.path for word in _SERVER_WORDS}
            found.add(self.path + _SERVER_WORDS[1])
        return frozenset(found)

    def resource_document(self, name: str) -> dict[str, object]:
        """RFC 9728."""
        return {
            "resource": self.resource,
            "authorization_servers": [self.issuer],
            "scopes_supported": [SCOPE],
            "bearer_methods_supported": ["header"],
            "resource_name": name,
        }

    def server_document(self) -> dict[str, object]:
        """RFC 8414, with RFC 9207 and Client ID Metadata Documents."""
        own = self.issuer + OWN
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{own}/authorize",
            "token_endpoint": f"{own}/token",
            "registration_endpoint": f"{own}/register",
            "revocation_endpoint": f"{own}/revoke",
            "scopes_supported": [SCOPE],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_methods_supported": list(AUTH_METHODS),
            "revocation_endpoint_auth_methods_supported": list(AUTH_METHODS),
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "client_id_metadata_document_supported": True,
        }


def place_of(public_url: str, path: str = "") -> Place:
    """The place for a tunnel's public URL, in the spelling that clients compare with."""
    parts = urlsplit(public_url)
    host = (parts.hostname or "").lower()
    default = {"https": 443, "http": 80}.get(parts.scheme)
    port = "" if parts.port in (None, default) else f":{parts.port}"
    shown = f"[{host}]" if ":" in host else host
    return Place(f"{parts.scheme}://{shown}{port}", path.rstrip("/"))


def is_confidential(public_url: str) -> bool:
    """Whether tokens may travel to this URL: TLS, or this machine itself."""
    parts = urlsplit(public_url)
    host = parts.hostname or ""
    return parts.scheme == "https" or host in _LOOPBACK or host.endswith(".localhost")
