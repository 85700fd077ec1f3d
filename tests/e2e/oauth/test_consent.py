"""The consent in a real browser, and what its pages must withstand."""

from __future__ import annotations

import asyncio
import base64
import os
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from tests.e2e.oauth.browser import Browser
from tests.e2e.oauth.conftest import let_in
from tests.e2e.oauth.flow import Client
from tests.e2e.oauth.person import CODE, Person
from tests.e2e.oauth.terminal import at_terminal
from tests.e2e.stage import PATIENCE, Stage, Tunnel
from tests.e2e.visitors import get

IMAGES = Path(__file__).resolve().parents[3] / "docs" / "images"


class Callback:
    """What a native client listens with: notes what the browser brings."""

    def __init__(self) -> None:
        self.port = 0
        self.brought: asyncio.Queue[str] = asyncio.Queue()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readline()).decode()
        while (await reader.readline()).strip():
            pass
        if line.startswith("GET /callback"):
            self.brought.put_nowait(line.split()[1])
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 11\r\n"
            b"Connection: close\r\n\r\n<p>done</p>"
        )
        with suppress(OSError):
            await writer.drain()
        writer.close()


@pytest.fixture
async def callback() -> AsyncIterator[Callback]:
    made = Callback()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


@pytest.fixture
async def client(tunnel: Tunnel) -> AsyncIterator[Client]:
    made = Client(tunnel.url)
    await made.register(client_name="Example Assistant")
    yield made
    await made.close()


@pytest.fixture
async def browser(stage: Stage) -> AsyncIterator[Browser]:
    made = await Browser.start(stage)
    yield made
    await made.close()


@pytest.mark.chromium
@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_chromium_walks_the_consent(
    stage: Stage, tunnel: Tunnel, client: Client, callback: Callback, browser: Browser
):
    """UNDERPASS_SCREENSHOTS=1 renews the pictures of the docs."""
    keep = bool(os.environ.get("UNDERPASS_SCREENSHOTS"))
    client.redirect = f"http://127.0.0.1:{callback.port}/callback"
    await browser.go(client.question())
    text = await browser.text()
    told_all = ("Example Assistant", f"{tunnel.url}/mcp", "nobody vouches", client.redirect)
    for told in (*told_all, "any program that runs here"):
        assert told in text
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", text)
    if keep:
        await browser.screenshot(IMAGES / "oauth-consent.png")
    await browser.click("button[value=yes]")
    await browser.until("document.body && document.body.innerText.includes('underpass approve')")
    found = CODE.search(await browser.text())
    assert found is not None
    if keep:
        await browser.screenshot(IMAGES / "oauth-waiting.png")
    listed = (await stage.run("approve", "--json")).json["sign_ins"]
    half = f"{found[0][:4]}-____"
    assert [(each["code"], each["client"]) for each in listed] == [(half, "Example Assistant")]
    shown = await stage.run("approve")
    assert half in shown.out
    assert found[0] not in shown.out
    done = await stage.run("approve", found[0].lower().replace("-", ""))
    assert done.out == '"Example Assistant" may come into tools\n'
    async with asyncio.timeout(PATIENCE):
        brought = await callback.brought.get()
    tokens = await client.exchange(brought)
    assert (await client.call(tokens["access_token"])).status_code == 200
    # Nothing was loaded but our own pages and the client's, and nothing was complained about.
    hosts = {urlsplit(url).netloc for url in browser.requested if url.startswith("http")}
    assert hosts <= {urlsplit(tunnel.url).netloc, f"127.0.0.1:{callback.port}"}
    assert not [each for each in browser.complaints if "Security Policy" in each]


@pytest.mark.chromium
@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_chromium_brings_the_client_a_refusal(
    stage: Stage, client: Client, callback: Callback, browser: Browser
):
    client.redirect = f"http://127.0.0.1:{callback.port}/callback"
    await browser.go(client.question())
    await browser.click("button[value=no]")
    async with asyncio.timeout(PATIENCE):
        brought = dict(parse_qsl(urlsplit(await callback.brought.get()).query))
    assert brought["error"] == "access_denied"


async def test_what_the_owner_denies_is_refused(stage: Stage, client: Client, person: Person):
    await person.visit(client.question())
    await person.answer("yes")
    done = await stage.run("approve", person.code, "--deny")
    assert done.out == '"Example Assistant" is turned away from tools\n'
    await person.go_on()
    assert "error=access_denied" in person.leads_to
    again = await stage.run("approve", person.code_before)
    assert (again.code, "no-such-sign-in" in again.err) == (3, True)


async def test_a_sign_in_belongs_to_the_browser_that_began_it(
    stage: Stage, tunnel: Tunnel, client: Client, person: Person
):
    thief = Person()
    await person.visit(client.question())
    await person.answer("yes")
    where, code = person.leads_to, person.code
    told = await tunnel.event("sign-in")
    assert (told["code"], told["client"]) == (f"{code[:4]}-____", "Example Assistant")
    assert told["answer_to"] == "a program on the computer of that browser"
    assert (await thief.visit(where)).status_code == 410
    assert (await stage.run("approve", code)).code == 0
    assert (await thief.visit(where)).status_code == 410
    assert (await person.visit(where)).status_code == 302
    assert (await person.visit(where)).status_code == 410, "its answer is given once"
    await thief.close()


async def test_nobody_approves_what_a_strangers_browser_alone_has_shown(
    stage: Stage, tunnel: Tunnel, client: Client, person: Person
):
    """The owner hears of every sign-in; what he hears is not enough to let it in by habit."""
    await person.visit(client.question())
    await person.answer("yes")
    heard = (await tunnel.event("sign-in"))["code"]
    for given in (heard, heard[:4], heard[:4] + "BCDF"):
        refused = await stage.run("approve", given, "--yes")
        assert (refused.code, "no-such-sign-in" in refused.err) == (3, True), given
    done = await stage.run("approve", heard, "--deny")
    assert done.out == '"Example Assistant" is turned away from tools\n'
    await person.go_on()
    assert "error=access_denied" in person.leads_to


@pytest.mark.parametrize(("word", "said"), [("y", True), ("n", False), ("", False)])
async def test_at_a_terminal_the_owner_sees_who_asks_and_is_asked_again(
    stage: Stage, client: Client, person: Person, word: str, said: bool
):
    await person.visit(client.question())
    await person.answer("yes")
    code, text = await at_terminal(stage, f"{word}\n", "approve", person.code)
    for told in ('"Example Assistant"', "its own word only", client.url, "let it in?"):
        assert told in text
    assert "a program on the computer of that browser" in text
    assert code == (0 if said else 130)
    await person.go_on()
    assert ("code=" in person.leads_to_or_nothing) is said


ELSEWHERE = "https://phish.example.com/callback"


@pytest.mark.parametrize(
    "wrong", [{"response_type": "token"}, {"code_challenge": None}, {"resource": "https://x.y/"}]
)
async def test_a_strangers_registration_makes_no_open_redirect(
    tunnel: Tunnel, person: Person, wrong: dict[str, str | None]
):
    """RFC 9700, 4.11.2: who registers an address must not get our visitors sent there."""
    client = Client(tunnel.url)
    client.redirect = ELSEWHERE
    await client.register()
    page = await person.visit(client.question(**wrong))
    assert (page.status_code, "location" in page.headers) == (400, False)
    assert "http-equiv" not in page.text
    assert "phish.example.com" in page.text
    await person.visit(client.question())
    page = await person.answer("no")
    assert (page.status_code, "location" in page.headers) == (200, False)
    assert "http-equiv" not in page.text
    assert "phish.example.com" in page.text
    await client.close()


async def test_what_the_owner_denies_sends_nobody_elsewhere(
    stage: Stage, tunnel: Tunnel, person: Person
):
    client = Client(tunnel.url)
    client.redirect = ELSEWHERE
    await client.register()
    await person.visit(client.question())
    await person.answer("yes")
    assert (await stage.run("approve", person.code, "--deny")).code == 0
    page = await person.go_on()
    assert (page.status_code, "location" in page.headers) == (200, False)
    assert "http-equiv" not in page.text
    # A client that was let in once is led to as ever.
    answered = await let_in(stage, person, client.question())
    assert answered.startswith(f"{ELSEWHERE}?code=")
    page = await person.visit(client.question(response_type="token"))
    assert page.headers["location"].startswith(f"{ELSEWHERE}?error=")
    await client.close()


async def test_an_address_is_taken_as_it_was_sent(tunnel: Tunnel):
    """What is decoded twice, or built from Host, is another path than the gatehouse judged."""
    for path in ("token%3Fx", "%74oken", "token/", "token/../authorize", "authorize;x"):
        answer = await get(f"{tunnel.url}/.underpass/oauth/{path}", method="POST")
        assert answer.status == 404, path


async def test_two_authorizations_show_no_client(tunnel: Tunnel):
    client = Client(tunnel.url)
    await client.register(token_endpoint_auth_method="client_secret_basic")
    basic = base64.b64encode(f"{client.client_id}:x".encode()).decode()
    for fields in ([("Authorization", f"Basic {basic}")] * 2, [("Authorization", "Basic x, y")]):
        answer = await client.http.post(
            f"{client.own}/token", data={"grant_type": "refresh_token"}, headers=fields
        )
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert "shows no client" in answer.json()["error_description"]
    await client.close()


FOREIGN: tuple[dict[str, str], ...] = (
    {},
    {"Origin": "null"},
    {"Origin": "https://evil.example.com"},
    {"Origin": "OURS", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "OURS", "Sec-Fetch-Site": "same-site"},
)


async def test_a_form_from_another_site_is_not_taken(
    stage: Stage, tunnel: Tunnel, client: Client, person: Person
):
    await person.visit(client.question())
    fields = {**person.fields, "answer": "yes"}
    for headers in FOREIGN:
        sent = {name: value.replace("OURS", tunnel.url) for name, value in headers.items()}
        answer = await person.http.post(f"{client.own}/authorize", data=fields, headers=sent)
        assert answer.status_code == 403, headers
    assert (await stage.run("approve", "--json")).json["sign_ins"] == []


async def test_a_form_is_taken_only_as_it_was_shown(tunnel: Tunnel, client: Client, person: Person):
    await person.visit(client.question())
    shown = {**person.fields, "answer": "yes"}

    async def send(**changes: str) -> int:
        where, headers = f"{client.own}/authorize", {"Origin": tunnel.url}
        answer = await person.http.post(where, data={**shown, **changes}, headers=headers)
        return answer.status_code

    assert await send(seal="0" * 64) == 403
    assert await send(query=shown["query"].replace("a-state", "b-state")) == 403
    assert await send() == 303
    person.http.cookies.clear()
    assert await send() == 403


async def test_pages_cannot_be_framed_scripted_or_kept(tunnel: Tunnel, person: Person):
    client = Client(tunnel.url)
    await client.register(client_name="<img src=x onerror=alert(1)>\"'><script>")
    page = await person.visit(client.question(state="<script>alert(1)</script>"))
    policy = page.headers["content-security-policy"]
    for rule in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'self'"):
        assert rule in policy
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["cache-control"] == "no-store"
    assert "&lt;img src=x" in page.text
    assert "<script" not in page.text
    assert "<img" not in page.text
    cookie = page.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "Path=/.underpass/oauth" in cookie
    assert "SameSite=lax" in cookie
    await client.close()


async def test_looking_begins_nothing_and_sign_ins_that_wait_are_few(
    stage: Stage, client: Client, person: Person
):
    for _ in range(5):
        await person.visit(client.question())
    assert (await stage.run("approve", "--json")).json["sign_ins"] == []
    pages = []
    for _ in range(6):
        await person.visit(client.question())
        pages.append((await person.answer("yes")).status_code)
    assert pages == [200] * 4 + [429] * 2
    assert len((await stage.run("approve", "--json")).json["sign_ins"]) == 4
