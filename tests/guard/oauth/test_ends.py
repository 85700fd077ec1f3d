"""What ends with a token, and what with its grant."""

from __future__ import annotations

import json

from tests.guard.oauth.conftest import URL, Site

from underpass.guard.oauth.books import ACCESS_SECONDS, MAX_GRANTS
from underpass.guard.oauth.gate import FINISH_SECONDS
from underpass.guard.oauth.place import place_of
from underpass.guard.outcomes import Pass
from underpass.guard.peer import Peer
from underpass.http.messages import RequestHead


def admission(site: Site, token: str) -> Pass:
    head = RequestHead(
        b"GET", b"/mcp", b"tools.example.com", [(b"Authorization", b"Bearer " + token.encode())]
    )
    outcome = site.gate.judge(head, Peer(""))
    assert isinstance(outcome, Pass)
    return outcome


def test_what_runs_under_a_token_may_outlast_it_by_a_minute(site: Site, client_id: object) -> None:
    site.books.unix = lambda: 1_000_000.0 + site.now
    tokens = site.tokens(client_id)
    began = site.now
    site.now += 100
    ends = 1_000_000.0 + began + ACCESS_SECONDS + FINISH_SECONDS
    assert admission(site, tokens["access_token"]).until == ends


def test_a_renewed_token_prolongs_nothing_that_the_former_let_in(
    site: Site, client_id: object
) -> None:
    site.books.unix = lambda: site.now
    tokens = site.tokens(client_id)
    first = admission(site, tokens["access_token"])
    site.now += 600
    site.refresh(client_id, tokens["refresh_token"])
    assert admission(site, tokens["access_token"]).until == first.until
    assert not first.holds[0].is_cut


def test_a_token_that_is_revoked_ends_what_runs_under_its_grant(
    site: Site, client_id: object
) -> None:
    tokens, other = site.tokens(client_id), site.tokens(client_id)
    hold = admission(site, tokens["access_token"]).holds[0]
    reply = site.server.revoke(f"token={tokens['access_token']}&client_id={client_id}".encode(), "")
    assert reply.status == 200
    assert hold.is_cut
    assert not admission(site, other["access_token"]).holds[0].is_cut


def test_a_stolen_refresh_token_ends_what_runs_under_its_grant(
    site: Site, client_id: object
) -> None:
    tokens = site.tokens(client_id)
    hold = admission(site, tokens["access_token"]).holds[0]
    assert site.refresh(client_id, tokens["refresh_token"]).status == 200
    assert not hold.is_cut, "the control: a rotation alone ends nothing"
    site.now += 11
    assert site.refresh(client_id, tokens["refresh_token"]).status == 400
    assert hold.is_cut


def test_a_code_that_is_used_twice_ends_what_runs_under_what_it_gave(
    site: Site, client_id: object
) -> None:
    code = site.code(client_id)
    tokens = json.loads(site.exchange(client_id, code).body)
    hold = admission(site, tokens["access_token"]).holds[0]
    assert site.exchange(client_id, code).status == 400
    assert hold.is_cut


def test_another_address_ends_everything(site: Site, client_id: object) -> None:
    hold = admission(site, site.tokens(client_id)["access_token"]).holds[0]
    site.books.rebase(place_of(URL, "/mcp"))
    assert not hold.is_cut, "the control: the same place ends nothing"
    site.books.rebase(place_of("https://elsewhere.example.com", "/mcp"))
    assert hold.is_cut


def test_a_grant_that_makes_room_ends_what_runs_under_it(site: Site, client_id: object) -> None:
    hold = admission(site, site.tokens(client_id)["access_token"]).holds[0]
    for _ in range(MAX_GRANTS - 1):
        site.tokens(client_id)
    assert not hold.is_cut
    site.tokens(client_id)
    assert hold.is_cut
