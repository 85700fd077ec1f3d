"""The tables of ``underpass.toml``: one typed record a command, named as its options are.

[open]                         [reach]                      [relay.serve]
relay = "https://…"            relay = "https://…"          domain = "relay.example.com"
gate = ["bearer", "ip:…"]      listen = "127.0.0.1:5432"    tcp-ports = "20000-20999"
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Table(msgspec.Struct, forbid_unknown_fields=True, rename="kebab", omit_defaults=True):
    """Base of the tables: a key that is no setting is a mistake, not a comment."""


class OpenTable(Table):
    """``[open]``: see ``underpass open --help``."""

    name: str | None = None
    engine: list[str] | None = None
    engine_option: list[str] | None = None
    via: str | None = None
    relay: str | None = None
    relay_ca: str | None = None
    relay_fingerprint: str | None = None
    enrol_token_file: str | None = None
    gate: list[str] | None = None
    public: bool | None = None
    for_: str | None = msgspec.field(default=None, name="for")
    idle: str | None = None
    owner: str | None = None
    purpose: str | None = None
    mcp: bool | None = None
    host_header: Literal["preserve", "origin"] | None = None
    health_path: str | None = None
    health: Literal["proof", "tcp"] | None = None
    peer: Literal["machine", "loopback"] | None = None
    pass_env: list[str] | None = None
    cors: list[str] | None = None
    tls: Literal["terminate", "passthrough"] | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    timeout: str | None = None
    token_file: str | None = None
    show_token: bool | None = None
    capture: Literal["full", "heads", "off"] | None = None
    no_capture: bool | None = None
    no_meter: bool | None = None
    quota: list[str] | None = None
    metrics_listen: str | None = None
    oauth_provider: str | None = None
    oauth_client_id: str | None = None
    oauth_client_secret_file: str | None = None
    oauth_allow: list[str] | None = None
    changing_url: bool | None = None
    tell_visitor: bool | None = None


class ReachTable(Table):
    """``[reach]``: see ``underpass reach --help``."""

    relay: str | None = None
    relay_ca: str | None = None
    relay_fingerprint: str | None = None
    token_file: str | None = None
    listen: str | None = None
    via: str | None = None
    engine_option: list[str] | None = None
    expect: str | None = None
    timeout: str | None = None


class ServeTable(Table):
    """``[relay.serve]``: see ``underpass relay serve --help``."""

    domain: str | None = None
    dev: bool | None = None
    listen: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    state: str | None = None
    redirect_listen: str | None = None
    metrics_listen: str | None = None
    tcp_ports: str | None = None
    proxy_protocol_from: list[str] | None = None
    front_fingerprint: list[str] | None = None
    authorised_keys: str | None = None
    max_names: int | None = None
    max_ports: int | None = None
    max_streams: int | None = None


class ProjectsTable(Table):
    """``[projects]``, in the user's own file: see ``projects``."""

    may: list[str] | None = None


TABLES: dict[str, type[Table]] = {
    "open": OpenTable,
    "reach": ReachTable,
    "relay.serve": ServeTable,
    "projects": ProjectsTable,
}
