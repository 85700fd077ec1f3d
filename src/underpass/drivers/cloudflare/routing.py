"""The way of a name to the tunnel: its DNS record, and the tunnel's configuration at Cloudflare."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from underpass.drivers.cloudflare.api import CloudflareApi
from underpass.drivers.cloudflare.changes import Change, TunnelIdentity, Verb
from underpass.drivers.cloudflare.errors import ApiRefused, ApiStrange, NameTaken

COMMENT: Final = "underpass"
"""Marks records of ours, so that what a killed process left is known again."""


class DnsRoute:
    """A proxied CNAME that leads the name to the tunnel. See ``Step``."""

    def __init__(
        self, api: CloudflareApi, identity: TunnelIdentity, hostname: str, zone: str = ""
    ) -> None:
        self._api = api
        self._identity = identity
        self._hostname = hostname
        self._zone = zone
        self._made = ""

    async def look(self) -> tuple[Change, ...]:
        """See ``Step``."""
        what = f"DNS record CNAME {self._hostname} -> {self._identity.target}, proxied"
        return (Change(Verb.CREATE if await self._find() is None else Verb.KEEP, what),)

    async def apply(self) -> None:
        """See ``Step``."""
        found = await self._find()
        if found is not None:
            if found.get("comment") == COMMENT:
                self._made = str(found["id"])
            return
        body = {
            "type": "CNAME",
            "name": self._hostname,
            "content": self._identity.target,
            "proxied": True,
            "ttl": 1,
            "comment": COMMENT,
        }
        path = f"/zones/{self._zone}/dns_records"
        made = await self._api.call(f"route {self._hostname}", "POST", path, body)
        self._made = id_of(made, f"route {self._hostname}")

    async def undo(self) -> None:
        """See ``Step``."""
        made, self._made = self._made, ""
        if made:
            with suppress(ApiRefused):  # somebody has removed it
                path = f"/zones/{self._zone}/dns_records/{made}"
                await self._api.call(f"unroute {self._hostname}", "DELETE", path)

    async def _find(self) -> dict[str, Any] | None:
        """The record, if it is as wanted; None where there is none. Raises ``NameTaken``."""
        self._zone = self._zone or await self._find_zone()
        records = await self._api.pages(
            f"look at {self._hostname}",
            f"/zones/{self._zone}/dns_records",
            {"name": self._hostname},
        )
        for record in records:
            kind, content = str(record.get("type")), str(record.get("content"))
            if kind == "CNAME" and content == self._identity.target and record.get("proxied"):
                return record
            if kind in ("A", "AAAA", "CNAME"):
                raise NameTaken(self._hostname, f"a record {kind} {content[:100]}")
        return None

    async def _find_zone(self) -> str:
        """The zone whose name is the longest end of ours."""
        labels = self._hostname.split(".")
        for start in range(len(labels) - 1):
            name, what = ".".join(labels[start:]), f"find the zone of {self._hostname}"
            zones = await self._api.pages(what, "/zones", {"name": name})
            if zones:
                return id_of(zones[0], what)
        raise ApiRefused(f"find the zone of {self._hostname}", "the API token reaches none")


class RemoteConfiguration:
    """The configuration of a tunnel that is managed at Cloudflare: every visitor to the gatehouse.

    A tunnel with a configuration of its own, on this machine, is left alone. One that serves other
    names too is not taken. See ``Step``.
    """

    def __init__(
        self,
        api: CloudflareApi,
        identity: TunnelIdentity,
        hostname: str,
        rules: list[dict[str, str]],
    ) -> None:
        """``rules`` are what cloudflared shall obey, as in its own configuration."""
        self._api = api
        self._hostname = hostname
        self._rules = rules
        self._path = f"/accounts/{identity.account}/cfd_tunnel/{identity.tunnel}"
        self._former: dict[str, Any] | None = None

    async def look(self) -> tuple[Change, ...]:
        """See ``Step``."""
        former = await self._find()
        if former is None:
            return ()
        what = f"configuration of the tunnel: {self._hostname} -> {self._rules[0]['service']}"
        is_so = former.get("ingress") == self._rules
        return (Change(Verb.KEEP if is_so else Verb.UPDATE, what),)

    async def apply(self) -> None:
        """See ``Step``."""
        former = await self._find()
        if former is None or former.get("ingress") == self._rules:
            return
        await self._put({**former, "ingress": self._rules})
        self._former = former

    async def undo(self) -> None:
        """See ``Step``."""
        former, self._former = self._former, None
        if former is not None:
            with suppress(ApiRefused):
                # An old rule of ours leads to a door that is no more, or to somebody else's by now.
                await self._put({**former, "ingress": [{"service": "http_status:503"}]})

    async def _find(self) -> dict[str, Any] | None:
        """The present configuration; None where it is not Cloudflare's. Raises ``NameTaken``."""
        what = "look at the tunnel"
        tunnel = await self._api.call(what, "GET", self._path)
        if not isinstance(tunnel, dict):
            raise ApiStrange(what, "a tunnel was asked for")
        if tunnel.get("config_src") != "cloudflare":
            return None
        told = await self._api.call(what, "GET", f"{self._path}/configurations")
        config = told.get("config") if isinstance(told, dict) else None
        former = config if isinstance(config, dict) else {}
        names = [
            str(rule["hostname"])
            for rule in former.get("ingress") or []
            if isinstance(rule, dict) and rule.get("hostname")
        ]
        others = [name for name in names if name != self._hostname]
        if others:
            raise NameTaken(self._hostname, f"the way to {', '.join(others)[:100]}")
        return former

    async def _put(self, config: dict[str, Any]) -> None:
        path = f"{self._path}/configurations"
        await self._api.call("configure the tunnel", "PUT", path, {"config": config})


def id_of(thing: object, what: str) -> str:
    """The id that the API gave it. Raises ``ApiStrange``."""
    found = thing.get("id") if isinstance(thing, dict) else None
    if not isinstance(found, str) or not found.replace("-", "").isalnum():
        raise ApiStrange(what, "it names no id")
    return found
