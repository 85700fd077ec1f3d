"""What a tunnel by cloudflared will be, before anything is started: words and rules. Pure."""

from __future__ import annotations

from typing import Final

from underpass.drivers.cloudflare.settings import CloudflareSettings
from underpass.drivers.plans import Site
from underpass.model.origin import Kind
from underpass.model.spec import TunnelSpec

CONFIG_FILE: Final = "cloudflared.json"
TOKEN_FILE: Final = "cloudflared.token"
GRACE: Final = "1s"
"""How long visitors may finish once it is asked to end; we insist after three seconds."""

# A URL must be there for a quick tunnel to be asked for; the rule of the configuration wins.
_UNUSED_URL: Final = "http://127.0.0.1:9"


def words(settings: CloudflareSettings, site: Site) -> tuple[str, ...]:
    """The program and its words. Pure."""
    program = site.detection.program if site.detection else ""
    shared = [
        *(program or "cloudflared", "tunnel", "--config", str(site.directory / CONFIG_FILE)),
        *("--no-autoupdate", "--no-prechecks", "--output", "json", "--loglevel", "info"),
        # A port of its own: a fixed one that is taken would end it.
        *("--metrics", "127.0.0.1:0", "--grace-period", GRACE),
        # Said out loud, since a quick tunnel would not fall back from QUIC by itself.
        *("--protocol", settings.protocol),
    ]
    if settings.region:
        shared += ["--region", settings.region]
    for edge in settings.edges:
        shared += ["--edge", edge]
    if settings.edge_ca:
        shared += ["--cacert", settings.edge_ca]
    if settings.is_quick:
        if settings.quick_service:
            shared += ["--quick-service", settings.quick_service]
        return (*shared, "--url", _UNUSED_URL)
    token = settings.token_file or (
        str(site.directory / TOKEN_FILE) if settings.token_variable else ""
    )
    return (*shared, "run", *(("--token-file", token) if token else ()))


def door_of(spec: TunnelSpec, site: Site) -> str:
    """The gatehouse as a service of cloudflared's. Pure."""
    return f"{'tcp' if spec.kind is Kind.TCP else 'http'}://127.0.0.1:{site.door.port}"


def rules(settings: CloudflareSettings, door: str) -> list[dict[str, str]]:
    """Where cloudflared sends visitors: to the gatehouse, or nowhere. Pure."""
    if settings.is_quick:
        return [{"service": door}]
    # Whoever comes by another name finds nothing; 503, since clients take 404 as an answer.
    return [{"hostname": settings.hostname, "service": door}, {"service": "http_status:503"}]


def url_of(settings: CloudflareSettings, *, is_tcp: bool) -> str:
    """Where visitors come, as far as it is known beforehand."""
    if settings.is_quick:
        return ""
    if is_tcp:
        return f"tcp://{settings.hostname}:{settings.port}"
    return f"https://{settings.authority}"


def visitors_of(settings: CloudflareSettings, *, is_tcp: bool) -> str:
    """What a visitor will get, and where."""
    host = "a name below trycloudflare.com" if settings.is_quick else settings.authority
    if is_tcp:
        return f"{host}, met by: cloudflared access tcp --hostname NAME --url 127.0.0.1:PORT"
    return f"{host}, TLS to Cloudflare" + (", behind Access" if settings.access else "")


def limits_of(settings: CloudflareSettings, *, is_tcp: bool) -> tuple[str, ...]:
    """What will not be as the user might expect."""
    limits = ["Cloudflare ends visitors' TLS and reads what passes, tokens too"]
    if is_tcp:
        limits += ["a byte stream cannot be half closed on its way through a WebSocket"]
    else:
        limits += [
            "an answer must begin within 100 s (error 524)",
            "a request's body may have 100 MB on its free and pro plans (error 413)",
        ]
    if settings.is_quick:
        limits += [
            "a quick tunnel takes 200 requests at once, and may hold event streams back",
            "its name changes when cloudflared is started anew; it is told when it does",
        ]
    if settings.access:
        limits += ["clients that follow no login need the service token in two headers, too"]
    return tuple(limits)


def calls_of(settings: CloudflareSettings) -> tuple[str, ...]:
    """The calls of the API that change something, as far as they are needed."""
    if not settings.uses_api:
        return ()
    account = f"{settings.api}/accounts/ACCOUNT"
    calls = (
        f"PUT {account}/cfd_tunnel/TUNNEL/configurations",
        f"POST {settings.api}/zones/ZONE/dns_records",
    )
    if not settings.access:
        return calls
    paths = ("service_tokens", "apps", "apps/APP/policies")
    return (*calls, *(f"POST {account}/access/{path}" for path in paths))
