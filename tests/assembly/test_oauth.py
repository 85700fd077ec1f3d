"""What an oauth gate needs before its tunnel is opened, and what refuses it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from underpass.assembly import oauth
from underpass.assembly.oauth import check_url_lasts, guarded_path, make_oauth
from underpass.drivers.plans import Plan
from underpass.gatehouse.oauth.door import OAuthDoor
from underpass.gatehouse.oauth.origin import OriginPages
from underpass.guard.gates import Peer, forge
from underpass.guard.oauth.errors import (
    OAuthNeedsTls,
    OAuthNotInstalled,
    OAuthOptionInvalid,
    OAuthUrlChanges,
)
from underpass.guard.outcomes import REFUSED
from underpass.http.messages import RequestHead
from underpass.model.options import OAuthOptions, OpenOptions, RelayAccess
from underpass.model.spec import TunnelSpec, parse_spec

RELAY = RelayAccess(url="https://relay.example.com")


@dataclass
class Chosen:
    """An engine that was chosen, as far as it is looked at."""

    name: str
    url: str = ""

    @property
    def engine(self) -> Any:
        return SimpleNamespace(name=self.name)

    @property
    def plan(self) -> Plan:
        return Plan(self.name, "somewhere", url=self.url)


def options(tmp_path: Path, **changes: object) -> OpenOptions:
    given: dict[str, Any] = {"state_dir": tmp_path, "runtime_dir": tmp_path, "relay": RELAY}
    return OpenOptions(**given | changes)


def spec(words: str = "mcp+http://localhost:3001/mcp --name tools --gate oauth") -> TunnelSpec:
    return parse_spec(words)


def lasts(spec: TunnelSpec, options: OpenOptions, chosen: Chosen) -> bool:
    try:
        check_url_lasts(spec, options, chosen)  # type: ignore[arg-type]
    except OAuthUrlChanges as error:
        return error.code != "oauth-url-changes"
    return True


def test_a_name_at_a_relay_lasts_and_a_random_one_does_not(tmp_path: Path):
    relay = Chosen("relay")
    assert lasts(spec(), options(tmp_path), relay)
    assert not lasts(spec("3001 --gate oauth"), options(tmp_path), relay)
    assert not lasts(spec(), options(tmp_path, relay=RelayAccess()), relay)


def test_a_foreign_engine_lasts_when_it_can_say_its_address_beforehand(tmp_path: Path):
    assert lasts(spec(), options(tmp_path), Chosen("ngrok", "https://mine.ngrok.app"))
    assert not lasts(spec(), options(tmp_path), Chosen("bore"))


def test_an_address_that_changes_can_be_asked_for(tmp_path: Path):
    asked = options(tmp_path, oauth=OAuthOptions(changing_url=True))
    assert lasts(spec(), asked, Chosen("bore"))


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("3001 --gate bearer", OAuthOptions(changing_url=True)),
        ("3001 --gate oauth --gate link", OAuthOptions()),
        ("3001 --gate oauth", OAuthOptions(client_id="x")),
        (
            "3001 --gate oauth:origin",
            OAuthOptions(provider="https://id.example.com", client_id="x", allow=("a@b.c",)),
        ),
        ("3001 --gate oauth", OAuthOptions(allow=("a@example.com",))),
        ("3001 --gate oauth", OAuthOptions(provider="http://id.example.com", client_id="x")),
        ("3001 --gate oauth", OAuthOptions(provider="https://id.example.com")),
        ("3001 --gate oauth", OAuthOptions(provider="https://id.example.com", client_id="x")),
        (
            "3001 --gate oauth",
            OAuthOptions(provider="https://id.example.com", client_id="x", allow=("a@b@c",)),
        ),
    ],
)
def test_options_that_do_not_belong_together_are_refused(
    tmp_path: Path, words: str, asked: OAuthOptions
):
    with pytest.raises(OAuthOptionInvalid) as caught:
        make_oauth(spec(words), options(tmp_path, oauth=asked))
    assert caught.value.code == "oauth-option-invalid"


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "authlib", None)
    with pytest.raises(OAuthNotInstalled) as caught:
        make_oauth(spec(), options(tmp_path))
    assert caught.value.code == "oauth-not-installed"
    assert "authlib" in caught.value.message


def test_other_tunnels_have_no_desk(tmp_path: Path):
    assert make_oauth(spec("3001"), options(tmp_path)) is None


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ("mcp+http://localhost:3001/mcp --gate oauth", "/mcp"),
        ("mcp+http://localhost:3001/mcp --gate /mcp=oauth --gate /healthz=open", "/mcp"),
        ("3001 --gate oauth", ""),
        ("3001 --gate bearer --gate /mcp=oauth", "/mcp"),
        ("3001 --gate bearer --gate '/api/*=oauth'", "/api"),
        ("3001 --gate bearer --gate /a,/b=oauth", ""),
        ("3001 --gate oauth --gate /a=bearer", ""),
    ],
)
def test_the_resource_is_what_the_gate_stands_before(words: str, path: str):
    assert guarded_path(spec(words)) == path


def opened(tmp_path: Path, words: str) -> OAuthDoor:
    """The pages of a tunnel as they are once its gates are made."""
    declared = spec(words)
    site = make_oauth(declared, options(tmp_path))
    assert site is not None
    forged = forge(declared.gates, rules=declared.rules, makers=site.makers)
    assert isinstance(site.pages, OAuthDoor)
    site.pages.networks = oauth._networks(forged, declared)
    return site.pages


@pytest.mark.parametrize(
    ("gates", "stranger"),
    [
        ("--gate oauth", True),
        ("--gate oauth --gate ip:10.0.0.0/8", False),
        ("--gate 'oauth|ip:10.0.0.0/8'", True),
        ("--gate 'oauth+ip:10.0.0.0/8|bearer'", False),
        ("--gate ip:10.0.0.0/8 --gate /mcp=oauth", True),
    ],
)
def test_pages_are_for_those_whom_the_addresses_on_the_way_admit(
    tmp_path: Path, gates: str, stranger: bool
):
    door = opened(tmp_path, f"3001 {gates}")
    assert door.admits("10.1.2.3")
    assert door.admits("203.0.113.7") is stranger
    assert door.admits("") is stranger


@pytest.mark.parametrize("url", ["http://bore.pub:4711", "http://203.0.113.5/"])
def test_tokens_never_travel_in_the_clear(tmp_path: Path, url: str):
    door = opened(tmp_path, "3001 --gate oauth")
    with pytest.raises(OAuthNeedsTls) as caught:
        door.rebase(url)
    assert caught.value.code == "oauth-needs-tls"
    assert not door.takes(b"/.well-known/oauth-protected-resource")
    for good in ("https://tools.example.com", "http://127.0.0.1:8000", "http://t.localhost:9/"):
        door.rebase(good)


def test_a_tunnel_that_moves_into_the_clear_admits_nobody(tmp_path: Path, caplog: Any):
    door = opened(tmp_path, "3001 --gate oauth")
    door.rebase("https://tools.example.com")
    door.rebase("http://tools.example.com")
    assert door._desk.books.place is None
    site = make_oauth(spec("3001 --gate oauth:origin"), options(tmp_path))
    assert site is not None
    assert isinstance(site.pages, OriginPages)
    with pytest.raises(OAuthNeedsTls):
        site.pages.rebase("http://tools.example.com")
    gate = forge(spec("3001 --gate oauth:origin").gates, makers=site.makers).gates["oauth:origin"]
    shown = [(b"Authorization", b"Bearer x")]
    assert gate.judge(RequestHead(b"GET", b"/", b"x", shown), Peer("")) == REFUSED
    assert "plain HTTP" in caplog.text


def test_only_our_own_paths_are_kept_from_the_origin(tmp_path: Path):
    door = opened(tmp_path, "mcp+http://localhost:3001/mcp --gate oauth")
    assert door.takes(b"/.underpass/oauth/token?x=1")
    assert not door.takes(b"/.well-known/oauth-protected-resource/mcp")
    door.rebase("https://tools.example.com")
    for path in (
        b"/.well-known/oauth-protected-resource",
        b"/.well-known/oauth-protected-resource/mcp",
        b"/.well-known/oauth-protected-resource/mcp/",
        b"/.well-known/oauth-authorization-server",
        b"/.well-known/oauth-authorization-server/mcp",
        b"/.well-known/openid-configuration",
        b"/.well-known/openid-configuration/mcp",
        b"/mcp/.well-known/openid-configuration",
    ):
        assert door.takes(path), path
    for path in (
        b"/mcp",
        b"/",
        b"/.underpass",
        b"/.underpass/oauthx",
        b"/.well-known/agent-card.json",
        b"/.well-known/oauth-protected-resource/other",
        b"/.well-known/oauth-protected-resource/mcp/deeper",
        b"/x/.underpass/oauth/token",
        b"/%2eunderpass/oauth/token",
    ):
        assert not door.takes(path), path


async def test_admitted_clients_are_kept_for_the_same_address_only(tmp_path: Path):
    import json

    from underpass.guard.oauth.records import Visitor
    from underpass.guard.oauth.server import Asked

    def registered(door: OAuthDoor) -> str:
        told = {"redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": "none"}
        reply = door._desk.register(json.dumps(told).encode())
        return str(json.loads(reply.body)["client_id"])

    first = opened(tmp_path, "3001 --name tools --gate oauth")
    first.rebase("https://tools.example.com")
    known, stranger = registered(first), registered(first)
    question = {
        "response_type": "code",
        "client_id": known,
        "redirect_uri": "http://127.0.0.1:9/cb",
        "code_challenge": "A" * 43,
        "code_challenge_method": "S256",
    }
    asked = first._desk.server.ask(tuple(question.items()))
    assert isinstance(asked, Asked)
    first._desk.server.grant(asked, Visitor("owner:alice", "alice"))
    again = opened(tmp_path, "3001 --name tools --gate oauth")
    again.rebase("https://tools.example.com")
    assert again._desk.books.client(known) is not None
    assert again._desk.books.client(stranger) is None
    other = opened(tmp_path, "3001 --name tools --gate oauth")
    other.rebase("https://other.example.com")
    assert other._desk.books.client(known) is None
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "oauth").iterdir()] == [0o600]
