"""Cloudflare Access in front of the name: an application, its policies, a service token.

Access is a gate besides ours, never in its place: it stands at Cloudflare's edge. The token is for
programs, which follow no login: our own proofs, and clients of ``service``.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from underpass.drivers.cloudflare.api import CloudflareApi
from underpass.drivers.cloudflare.changes import Change, Verb
from underpass.drivers.cloudflare.errors import ApiRefused, ApiStrange, NameTaken
from underpass.drivers.cloudflare.routing import id_of
from underpass.guard.secrets import Secret

SESSION: Final = "24h"
PEOPLE: Final = "underpass people"
PROGRAMS: Final = "underpass programs"

CLIENT_ID: Final = b"CF-Access-Client-Id"
CLIENT_SECRET: Final = b"CF-Access-Client-Secret"


class AccessGuard:
    """The application and all that belongs to it. See ``Step``."""

    def __init__(
        self, api: CloudflareApi, account: str, hostname: str, rules: tuple[str, ...]
    ) -> None:
        """``rules`` are mail addresses, ``@domains`` and ``service``."""
        self._api = api
        self._base = f"/accounts/{account}/access"
        self._hostname = hostname
        self._rules = rules
        self._app = ""
        self._token = ""
        self._client: tuple[str, Secret] | None = None

    @property
    def name(self) -> str:
        """Of the application and of the token, by which they are known again."""
        return f"underpass {self._hostname}"

    @property
    def client(self) -> tuple[str, Secret] | None:
        """The service token's two halves, once it is made."""
        return self._client

    def fields(self) -> list[tuple[bytes, bytes]]:
        """What a program shows to pass Access."""
        if self._client is None:
            return []
        identity, secret = self._client
        return [(CLIENT_ID, identity.encode()), (CLIENT_SECRET, secret.reveal().encode())]

    async def look(self) -> tuple[Change, ...]:
        """See ``Step``."""
        app, token = await self._find_app(), await self._find_token()
        people = [rule for rule in self._rules if rule != "service"]
        changes = [
            Change(
                Verb.CREATE if token is None else Verb.UPDATE, f"Access service token {self.name}"
            ),
            Change(
                Verb.CREATE if app is None else Verb.KEEP,
                f"Access application {self._hostname}",
            ),
            Change(Verb.CREATE if app is None else Verb.UPDATE, "Access policy for programs"),
        ]
        if people:
            verb = Verb.CREATE if app is None else Verb.UPDATE
            changes.append(Change(verb, f"Access policy for {', '.join(people)}"))
        return tuple(changes)

    async def apply(self) -> None:
        """See ``Step``. The policies are there before the application has a visitor."""
        app = await self._find_app()
        await self._make_token()
        what = f"put Access on {self._hostname}"
        if app is None:
            body = {
                "name": self.name,
                "domain": self._hostname,
                "type": "self_hosted",
                "session_duration": SESSION,
                "app_launcher_visible": False,
            }
            app = await self._api.call(what, "POST", f"{self._base}/apps", body)
        self._app = id_of(app, what)
        path = f"{self._base}/apps/{self._app}/policies"
        present = {str(each.get("name")): each for each in await self._api.pages(what, path)}
        for at, policy in enumerate(policies(self._rules, self._token), start=1):
            wanted = {**policy, "precedence": at}
            former = present.get(str(policy["name"]))
            if former is None:
                await self._api.call(what, "POST", path, wanted)
            elif any(former.get(key) != value for key, value in wanted.items()):
                await self._api.call(what, "PUT", f"{path}/{id_of(former, what)}", wanted)

    async def undo(self) -> None:
        """See ``Step``: the application takes its policies with it."""
        app, self._app = self._app, ""
        token, self._token = self._token, ""
        self._client = None
        what = f"take Access off {self._hostname}"
        if app:
            with suppress(ApiRefused):  # somebody has removed it
                await self._api.call(what, "DELETE", f"{self._base}/apps/{app}")
        if token:
            with suppress(ApiRefused):
                await self._api.call(what, "DELETE", f"{self._base}/service_tokens/{token}")

    async def _make_token(self) -> None:
        """Make the token, or give the one that a killed process left a new secret."""
        what, found = "make a service token", await self._find_token()
        if found is None:
            body = {"name": self.name, "duration": "8760h"}
            made = await self._api.call(what, "POST", f"{self._base}/service_tokens", body)
        else:
            path = f"{self._base}/service_tokens/{id_of(found, what)}/rotate"
            made = await self._api.call(what, "POST", path)
        facts: dict[str, Any] = made if isinstance(made, dict) else {}
        identity, secret = facts.get("client_id"), facts.get("client_secret")
        self._token = id_of(facts, what)
        if not (_is_field(identity) and _is_field(secret)):
            raise ApiStrange(what, "it names no client")
        self._client = (str(identity), Secret(str(secret)))

    async def _find_app(self) -> dict[str, Any] | None:
        """Our application for the name; None where there is none. Raises ``NameTaken``."""
        apps = await self._api.pages(f"look at Access for {self._hostname}", f"{self._base}/apps")
        for app in apps:
            if app.get("domain") == self._hostname:
                if app.get("name") == self.name:
                    return app
                raise NameTaken(self._hostname, f"the Access application {app.get('name')}"[:120])
        return None

    async def _find_token(self) -> dict[str, Any] | None:
        tokens = await self._api.pages("look at service tokens", f"{self._base}/service_tokens")
        return next((token for token in tokens if token.get("name") == self.name), None)


def policies(rules: tuple[str, ...], token: str) -> list[dict[str, Any]]:
    """The policies of an application, in order: programs with the token, then people. Pure."""
    programs = {
        "name": PROGRAMS,
        "decision": "non_identity",
        "include": [{"service_token": {"token_id": token}}],
    }
    include = [_include(rule) for rule in rules if rule != "service"]
    people = {"name": PEOPLE, "decision": "allow", "include": include}
    return [programs, people] if include else [programs]


def _include(rule: str) -> dict[str, dict[str, str]]:
    name, _, domain = rule.rpartition("@")
    return {"email": {"email": rule}} if name else {"email_domain": {"domain": domain}}


def _is_field(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) < 1_000 and text.isascii() and text.isprintable()
