"""An authorization that names the public resource, as a server knows it that guards its own.

A client asks for a token for the address that it dialled (RFC 8707). A server that checks audiences
knows itself by its private one. So the ``resource`` of an authorization request is put back into
the words of the server's own metadata, which must have passed here before, and the ``iss`` of the
answer (RFC 9207) becomes the issuer that the client read. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote_plus

from underpass.gatehouse.mcp.addresses import OwnAddresses

MAX_LEARNED: Final = 16
# A server has one metadata address for each protected path; few have more than one.


class Resources:
    """What one server's metadata has said of itself."""

    def __init__(self, addresses: OwnAddresses) -> None:
        self._addresses = addresses
        self._originals: dict[str, str] = {}
        self._endpoints: set[str] = set()

    def learn(self, told: Mapping[str, str]) -> None:
        """Take in the top-level URLs of one document, as the server wrote them."""
        resource, endpoint = told.get("resource"), told.get("authorization_endpoint")
        path = None if resource is None else self._addresses.path_of(resource)
        if resource is not None and path is not None and len(self._originals) < MAX_LEARNED:
            self._originals[path.rstrip("/")] = resource
        path = None if endpoint is None else self._addresses.path_of(endpoint)
        if path is not None and len(self._endpoints) < MAX_LEARNED:
            self._endpoints.add(path.partition("?")[0])

    def inward(self, target: bytes, base: str) -> bytes:
        """An authorization request's target with the server's own resource; any other as it is."""
        path, mark, query = target.decode("latin-1").partition("?")
        if path not in self._endpoints or "resource=" not in query:
            return target
        parts = [self._inward(part, base) for part in query.split("&")]
        return (path + mark + "&".join(parts)).encode("latin-1")

    def _inward(self, part: str, base: str) -> str:
        name, _, value = part.partition("=")
        url = unquote_plus(value)
        if name != "resource" or not url.startswith(base):
            return part
        original = self._originals.get(url[len(base) :].rstrip("/"))
        return part if original is None else f"resource={quote(original, safe='')}"
