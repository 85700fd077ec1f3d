"""Cloudflare's API, as far as it is called: a server that checks every request's shape.

Its routes were written down by hand from the public reference. A request that the real one would
refuse is refused with an envelope of errors: wrong method, no token, a body with a field that is
missing or unknown. What is made is kept, so that looking again finds it; lists come in pages.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

BASE: Final = "/client/v4"

Reply = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as it came."""

    method: str
    path: str
    query: dict[str, str]
    fields: dict[str, str]
    body: Any


class Wrong(Exception):
    """The request is not as it must be."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.answer = envelope(status, None, errors=[{"code": code, "message": message}])


def envelope(
    status: int, result: Any, *, errors: list[dict[str, Any]] | None = None, info: Any = None
) -> Reply:
    """An answer as every answer is wrapped."""
    told = {"success": not errors, "errors": errors or [], "messages": [], "result": result}
    if info is not None:
        told["result_info"] = info
    return status, {"Content-Type": "application/json"}, json.dumps(told).encode()


@dataclass(slots=True)
class Account:
    """What one account has."""

    identity: str = field(default_factory=lambda: secrets.token_hex(16))
    token: str = field(default_factory=lambda: secrets.token_urlsafe(30), repr=False)
    zones: dict[str, str] = field(default_factory=dict)
    """Names of zones by their ids."""
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    tunnels: dict[str, dict[str, Any]] = field(default_factory=dict)
    configurations: dict[str, dict[str, Any]] = field(default_factory=dict)
    apps: dict[str, dict[str, Any]] = field(default_factory=dict)
    policies: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    service_tokens: dict[str, dict[str, Any]] = field(default_factory=dict)


class CloudflareApiServer:
    """The API of one account. An async context manager."""

    def __init__(self, account: Account | None = None) -> None:
        self.account = account or Account()
        self.calls: list[Call] = []
        self.faults: deque[Reply] = deque()
        """The next requests are answered so, whatever they ask."""
        self.page_size = 50
        """At most so many things a page, whatever is asked for."""
        self.on_change: Callable[[Call], None] = lambda call: None
        """Told of every request that changed something."""
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> CloudflareApiServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}{BASE}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    def zone(self, name: str) -> str:
        """A zone of the account's; its id."""
        identity = secrets.token_hex(16)
        self.account.zones[identity] = name
        return identity

    def changes(self) -> list[str]:
        """The requests that change something, in short."""
        return [f"{call.method} {call.path}" for call in self.calls if call.method != "GET"]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                status, fields, body = await self._answer(head.decode("latin-1"), reader)
                lines = [f"HTTP/1.1 {status} -", f"Content-Length: {len(body)}"]
                lines += [f"{name}: {value}" for name, value in fields.items()]
                writer.write("\r\n".join([*lines, "", ""]).encode() + body)
                await writer.drain()
        writer.close()

    async def _answer(self, head: str, reader: asyncio.StreamReader) -> Reply:
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        pairs = (line.partition(":") for line in lines)
        fields = {name.lower(): value.strip() for name, _, value in pairs}
        data = await reader.readexactly(int(fields.get("content-length", 0)))
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        call = Call(
            method,
            parts.path.removeprefix(BASE),
            query,
            fields,
            json.loads(data) if data else None,
        )
        self.calls.append(call)
        if self.faults:
            return self.faults.popleft()
        try:
            self._check(call, parts.path, is_json=bool(data))
            reply = self._route(call)
        except Wrong as wrong:
            return wrong.answer
        if method != "GET":
            self.on_change(call)
        return reply

    def _check(self, call: Call, path: str, *, is_json: bool) -> None:
        if not path.startswith(f"{BASE}/"):
            raise Wrong(404, 7000, "No route for that URI")
        if call.fields.get("authorization") != f"Bearer {self.account.token}":
            raise Wrong(403, 10000, "Authentication error")
        if is_json and call.fields.get("content-type") != "application/json":
            raise Wrong(415, 6007, "Malformed JSON in request body")
        if call.method == "GET" and is_json:
            raise Wrong(400, 6008, "no body is expected")

    def _route(self, call: Call) -> Reply:
        mine = f"/accounts/{self.account.identity}"
        for method, pattern, answer in (
            ("GET", "/zones", self._zones),
            ("GET", "/zones/(ID)/dns_records", self._records),
            ("POST", "/zones/(ID)/dns_records", self._make_record),
            ("DELETE", "/zones/(ID)/dns_records/(ID)", self._drop_record),
            ("GET", f"{mine}/cfd_tunnel/(ID)", self._tunnel),
            ("GET", f"{mine}/cfd_tunnel/(ID)/configurations", self._configuration),
            ("PUT", f"{mine}/cfd_tunnel/(ID)/configurations", self._configure),
            ("GET", f"{mine}/access/apps", self._apps),
            ("POST", f"{mine}/access/apps", self._make_app),
            ("DELETE", f"{mine}/access/apps/(ID)", self._drop_app),
            ("GET", f"{mine}/access/apps/(ID)/policies", self._policies),
            ("POST", f"{mine}/access/apps/(ID)/policies", self._make_policy),
            ("PUT", f"{mine}/access/apps/(ID)/policies/(ID)", self._change_policy),
            ("GET", f"{mine}/access/service_tokens", self._tokens),
            ("POST", f"{mine}/access/service_tokens", self._make_token),
            ("POST", f"{mine}/access/service_tokens/(ID)/rotate", self._rotate_token),
            ("DELETE", f"{mine}/access/service_tokens/(ID)", self._drop_token),
        ):
            match = re.fullmatch(pattern.replace("(ID)", "([0-9a-f-]{32,36})"), call.path)
            if match and method == call.method:
                return answer(call, *match.groups())
        raise Wrong(405, 10405, f"Method {call.method} not allowed for {call.path}")

    # DNS

    def _zones(self, call: Call) -> Reply:
        found = [
            {"id": identity, "name": name}
            for identity, name in self.account.zones.items()
            if name == call.query.get("name", name)
        ]
        return self._page(call, found, {"name"})

    def _records(self, call: Call, zone: str) -> Reply:
        self._need_zone(zone)
        wanted = call.query.get("name")
        found = [each for each in self.account.records.values() if each["name"] == wanted]
        return self._page(call, found, {"name"})

    def _make_record(self, call: Call, zone: str) -> Reply:
        name = self._need_zone(zone)
        body = need(call, {"type", "name", "content", "proxied", "ttl"}, {"comment"})
        if body["type"] != "CNAME" or not str(body["content"]).endswith(".cfargotunnel.com"):
            raise Wrong(400, 9005, "Content for CNAME record is invalid.")
        if not (body["name"] == name or body["name"].endswith(f".{name}")):
            raise Wrong(400, 9000, "DNS name is invalid.")
        if any(each["name"] == body["name"] for each in self.account.records.values()):
            text = "An A, AAAA, or CNAME record with that host already exists."
            raise Wrong(400, 81053, text)
        identity = secrets.token_hex(16)
        self.account.records[identity] = record = {"id": identity, **body}
        return envelope(200, record)

    def _drop_record(self, call: Call, zone: str, identity: str) -> Reply:
        self._need_zone(zone)
        if self.account.records.pop(identity, None) is None:
            raise Wrong(404, 81044, "Record does not exist.")
        return envelope(200, {"id": identity})

    def _need_zone(self, zone: str) -> str:
        if zone not in self.account.zones:
            raise Wrong(404, 7003, "Could not route to the zone, perhaps your object id is invalid")
        return self.account.zones[zone]

    # Tunnels

    def _tunnel(self, call: Call, identity: str) -> Reply:
        if identity not in self.account.tunnels:
            raise Wrong(404, 1003, "Tunnel not found")
        return envelope(200, self.account.tunnels[identity])

    def _configuration(self, call: Call, identity: str) -> Reply:
        self._tunnel(call, identity)
        config = self.account.configurations.get(identity)
        return envelope(200, {"tunnel_id": identity, "version": 1, "config": config})

    def _configure(self, call: Call, identity: str) -> Reply:
        self._tunnel(call, identity)
        config = need(call, {"config"})["config"]
        rules = config["ingress"]
        if "hostname" in rules[-1] or not all(
            isinstance(each.get("service"), str) for each in rules
        ):
            raise Wrong(400, 1056, "Bad Configuration: The last ingress rule must match all URLs")
        self.account.configurations[identity] = config
        return envelope(200, {"tunnel_id": identity, "version": 2, "config": config})

    # Access

    def _apps(self, call: Call) -> Reply:
        return self._page(call, list(self.account.apps.values()), set())

    def _make_app(self, call: Call) -> Reply:
        body = need(call, {"name", "domain", "type"}, {"session_duration", "app_launcher_visible"})
        if body["type"] != "self_hosted" or not re.fullmatch(r"[a-z0-9.-]+", body["domain"]):
            raise Wrong(400, 12130, "access.api.error.invalid_request")
        identity = str(uuid.uuid4())
        self.account.apps[identity] = app = {"id": identity, **body}
        self.account.policies[identity] = {}
        return envelope(201, app)

    def _drop_app(self, call: Call, app: str) -> Reply:
        self._need_app(app)
        del self.account.apps[app], self.account.policies[app]
        return envelope(202, {"id": app})

    def _policies(self, call: Call, app: str) -> Reply:
        return self._page(call, list(self._need_app(app).values()), set())

    def _make_policy(self, call: Call, app: str) -> Reply:
        identity = str(uuid.uuid4())
        return self._set_policy(call, app, identity, 201)

    def _change_policy(self, call: Call, app: str, identity: str) -> Reply:
        if identity not in self._need_app(app):
            raise Wrong(404, 12130, "access.api.error.policy_not_found")
        return self._set_policy(call, app, identity, 200)

    def _set_policy(self, call: Call, app: str, identity: str, status: int) -> Reply:
        body = need(call, {"name", "decision", "include", "precedence"})
        if body["decision"] not in ("allow", "non_identity") or not body["include"]:
            raise Wrong(400, 12130, "access.api.error.invalid_request: decision")
        for rule in body["include"]:
            self._check_rule(rule)
        self._need_app(app)[identity] = policy = {"id": identity, **body}
        return envelope(status, policy)

    def _check_rule(self, rule: dict[str, Any]) -> None:
        known = {"email": "email", "email_domain": "domain", "service_token": "token_id"}
        ((kind, value),) = rule.items()
        if kind not in known or set(value) != {known[kind]}:
            raise Wrong(400, 12130, f"access.api.error.invalid_request: rule {kind}")
        if kind == "service_token" and value["token_id"] not in self.account.service_tokens:
            raise Wrong(400, 12130, "access.api.error.invalid_request: no such service token")

    def _need_app(self, app: str) -> dict[str, dict[str, Any]]:
        if app not in self.account.policies:
            raise Wrong(404, 12130, "access.api.error.application_not_found")
        return self.account.policies[app]

    def _tokens(self, call: Call) -> Reply:
        shown = [
            {key: value for key, value in each.items() if key != "client_secret"}
            for each in self.account.service_tokens.values()
        ]
        return self._page(call, shown, set())

    def _make_token(self, call: Call) -> Reply:
        body = need(call, {"name"}, {"duration"})
        identity = str(uuid.uuid4())
        token = {
            "id": identity,
            "name": body["name"],
            "client_id": f"{secrets.token_hex(16)}.access",
        }
        token["client_secret"] = secrets.token_hex(32)
        self.account.service_tokens[identity] = token
        return envelope(201, token)

    def _rotate_token(self, call: Call, identity: str) -> Reply:
        if identity not in self.account.service_tokens:
            raise Wrong(404, 12130, "access.api.error.service_token_not_found")
        token = self.account.service_tokens[identity]
        token["client_secret"] = secrets.token_hex(32)
        return envelope(200, token)

    def _drop_token(self, call: Call, identity: str) -> Reply:
        if self.account.service_tokens.pop(identity, None) is None:
            raise Wrong(404, 12130, "access.api.error.service_token_not_found")
        return envelope(200, {"id": identity})

    def _page(self, call: Call, found: list[dict[str, Any]], allowed: set[str]) -> Reply:
        if set(call.query) - allowed - {"page", "per_page"}:
            raise Wrong(400, 1004, "unknown query parameter")
        page, asked = int(call.query["page"]), int(call.query["per_page"])
        size = min(asked, self.page_size)
        pages = max(1, -(-len(found) // size))
        part = found[(page - 1) * size : page * size]
        info = {"page": page, "per_page": size, "count": len(part), "total_count": len(found)}
        return envelope(200, part, info={**info, "total_pages": pages})


def need(
    call: Call, must: set[str], may: frozenset[str] | set[str] = frozenset()
) -> dict[str, Any]:
    """The body, if it has every field of ``must`` and none beyond ``may``."""
    body = call.body
    if not isinstance(body, dict) or not must <= set(body) <= must | may:
        raise Wrong(400, 6007, f"the fields are {sorted(must)}, and maybe {sorted(may)}")
    return body
