"""A sign-in in one browser, from the client's question to the answer that it is sent back with.

    GET  /authorize    the question is judged and shown; nothing is begun by looking at it
    POST /authorize    the person says yes or no; with yes a sign-in begins
    GET  /signin       waits for the owner, or leads to the outside provider; ends with the answer
    GET  /callback     back from the outside provider

Answers are sent from GET alone: browsers hold a form's redirects against ``form-action``. Anybody
can register an address anywhere, so a refusal takes nobody there by itself, unless the client was
let in before or is on the visitor's own machine (RFC 9700, 4.11.2): a link says where it leads.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from underpass.gatehouse.oauth.browser import address_of, is_own_page
from underpass.gatehouse.oauth.desk import OAuthDesk
from underpass.gatehouse.oauth.pages import page
from underpass.gatehouse.oauth.provider import ProviderRefused
from underpass.guard.oauth.authlib_server import Reply
from underpass.guard.oauth.parameters import Parameters, read_form
from underpass.guard.oauth.place import OWN
from underpass.guard.oauth.redirects import is_loopback, target_of
from underpass.guard.oauth.server import Asked, RequestRefused
from underpass.guard.oauth.signins import SECONDS, Decision, SignIn, TooManySignIns

MAX_QUERY: Final = 8 * 1024
POLL_SECONDS: Final = 2


class SignInPages:
    """The pages of one desk."""

    def __init__(self, desk: OAuthDesk) -> None:
        self._desk = desk

    async def authorize(self, request: Request) -> Response:
        """Show who asks for what."""
        query = request.scope["query_string"]
        judged = await self._judge(query, address_of(request))
        if isinstance(judged, Response):
            return judged
        secure = self._is_secure()
        browsers = self._desk.browsers
        browser = browsers.read(request.headers, secure=secure) or browsers.fresh()
        response = self._consent_page(judged, query.decode("ascii"), browser)
        browsers.set(response, browser, secure=secure)
        return response

    async def consent(self, request: Request) -> Response:
        """Take the person's word, and begin."""
        desk = self._desk
        browser = desk.browsers.read(request.headers, secure=self._is_secure())
        try:
            form = dict(read_form(await request.body()))
        except ValueError:
            form = {}
        query = form.get("query", "")
        if not is_own_page(request.headers, self._issuer()) or not desk.browsers.is_sealed(
            browser, query, form.get("seal", "")
        ):
            return self._message(
                "This page is no longer good",
                "It was opened in another browser, or too long ago, or cookies are switched off. "
                "Start again in the program that sent you here.",
                403,
            )
        address = address_of(request)
        judged = await self._judge(query.encode(), address)
        if isinstance(judged, Response):
            return judged
        if form.get("answer") != "yes":
            return self._leave(desk.server.grant(judged, None), judged.client.client_id)
        try:
            sign_in = desk.sign_ins.begin(judged, browser, address)
        except TooManySignIns:
            return self._message(
                "Too many sign-ins are waiting", "Try again in a few minutes.", 429
            )
        if desk.provider is None:
            desk.on_waiting(sign_in)
        return RedirectResponse(self._own("/signin", id=sign_in.id), 303, _NO_STORE)

    async def go_on(self, request: Request) -> Response:
        """Wait, lead on, or send the answer."""
        sign_in = self._find(request, request.query_params.get("id", ""))
        if sign_in is None:
            return self._gone()
        if sign_in.decision is not Decision.WAITING:
            return await self._finish(sign_in, address_of(request))
        if self._desk.provider is None:
            return self._waiting_page(sign_in)
        if "go" not in request.query_params:
            # The form's navigation ends on this page; the next one may leave our origin.
            return self._message(
                "Going on to sign in",
                f"You sign in at {self._desk.provider.host}.",
                refresh=f"0; url={self._own('/signin', id=sign_in.id, go='1')}",
                link=self._own("/signin", id=sign_in.id, go="1"),
            )
        try:
            url = await self._desk.provider.question(
                sign_in.id, sign_in.nonce, sign_in.verifier, self._callback()
            )
        except ProviderRefused as refused:
            return self._message("Signing in does not work now", refused.why, 503)
        return RedirectResponse(url, 302, _NO_STORE)

    async def callback(self, request: Request) -> Response:
        """Hear what the outside provider says."""
        provider = self._desk.provider
        answer = request.query_params
        sign_in = self._find(request, answer.get("state", ""))
        if provider is None or sign_in is None or sign_in.decision is not Decision.WAITING:
            return self._gone()
        try:
            visitor = await provider.visitor(
                answer, sign_in.nonce, sign_in.verifier, self._callback()
            )
        except ProviderRefused as refused:
            self._desk.sign_ins.settle(sign_in, None)
            return self._message(
                "You are not let in",
                refused.why,
                403,
                link=self._own("/signin", id=sign_in.id),
            )
        self._desk.sign_ins.settle(sign_in, visitor)
        return RedirectResponse(self._own("/signin", id=sign_in.id), 303, _NO_STORE)

    # What they lean on.

    async def _finish(self, sign_in: SignIn, address: str) -> Response:
        client_id = sign_in.asked.client.client_id
        await self._desk.meet(client_id, address)
        if not self._desk.sign_ins.take(sign_in):
            return self._gone()
        try:
            reply = self._desk.server.grant(sign_in.asked, sign_in.visitor)
        except RequestRefused:  # the client was forgotten meanwhile
            return self._gone()
        if sign_in.visitor is None:
            return self._leave(reply, client_id)
        return RedirectResponse(reply.location, 302, _NO_STORE)

    async def _judge(self, query: bytes, address: str) -> Asked | Response:
        desk = self._desk
        if len(query) > MAX_QUERY:
            return self._message("This request is too long", "No program needs that much.", 400)
        try:
            parameters: Parameters = read_form(query)
        except ValueError:
            return self._message("This is no valid request", "It cannot be read.", 400)
        client_id = dict(parameters).get("client_id", "")
        await desk.meet(client_id, address)
        try:
            judged = desk.server.ask(parameters)
        except RequestRefused as refused:
            return self._message(
                "This program cannot be let in",
                f"{refused.why} Nothing was sent to it. Remove and add the server in the program "
                "to register anew.",
                400,
            )
        if not isinstance(judged, Reply):
            return judged
        if self._may_lead(judged, client_id):
            return RedirectResponse(judged.location, 302, _NO_STORE)
        return self._message(
            "This program asks for what it cannot have",
            f"It may be told so at {target_of(judged.location)}.",
            400,
            link=judged.location,
        )

    def _may_lead(self, reply: Reply, client_id: str) -> bool:
        """Whether a refusal takes the browser along."""
        return is_loopback(reply.location) or self._desk.books.is_admitted(client_id)

    def _find(self, request: Request, identity: str) -> SignIn | None:
        browser = self._desk.browsers.read(request.headers, secure=self._is_secure())
        return self._desk.sign_ins.find(identity, browser) if browser else None

    def _consent_page(self, asked: Asked, query: str, browser: str) -> Response:
        desk, place = self._desk, self._desk.books.place
        assert place is not None
        until = datetime.fromtimestamp(desk.lease_end(), UTC).strftime("%Y-%m-%d %H:%M UTC")
        provider = desk.provider
        return page(
            "consent",
            title=f"Let {asked.client.name} in?",
            tunnel=desk.tunnel,
            client=asked.client,
            document_host=urlsplit(asked.client.client_id).netloc,
            resource=place.resource,
            until=until,
            answer_to=target_of(asked.redirect_uri),
            is_loopback=is_loopback(asked.redirect_uri),
            redirect_uri=asked.redirect_uri,
            action=OWN + "/authorize",
            query=query,
            seal=desk.browsers.seal(browser, query),
            go_on="Ask the tunnel's owner" if provider is None else "Sign in",
            next_step=(
                "You will see a code, which the owner of the tunnel confirms."
                if provider is None
                else f"You will sign in at {provider.host}."
            ),
        )

    def _waiting_page(self, sign_in: SignIn) -> Response:
        return page(
            "waiting",
            title="Waiting for the owner",
            tunnel=self._desk.tunnel,
            code=sign_in.code,
            client=sign_in.asked.client,
            answer_to=target_of(sign_in.asked.redirect_uri),
            minutes=int(SECONDS // 60),
            refresh=f"{POLL_SECONDS}; url={self._own('/signin', id=sign_in.id)}",
        )

    def _leave(self, reply: Reply, client_id: str) -> Response:
        """The client is not let in, and may hear of it."""
        if self._may_lead(reply, client_id):
            return self._message(
                _NOT_LET_IN,
                "It is told so.",
                refresh=f"0; url={reply.location}",
                link=reply.location,
            )
        told = f"It may be told so at {target_of(reply.location)}. You can close this page."
        return self._message(_NOT_LET_IN, told, link=reply.location)

    def _gone(self) -> Response:
        return self._message(
            "This sign-in is over",
            "It took too long, or was begun in another browser. "
            "Start again in the program that sent you here.",
            410,
        )

    def _message(self, title: str, text: str, status: int = 200, **more: str) -> Response:
        return page("message", status, title=title, text=text, tunnel=self._desk.tunnel, **more)

    def _own(self, path: str, **query: str) -> str:
        return f"{OWN}{path}?{urlencode(query)}"

    def _callback(self) -> str:
        return f"{self._issuer()}{OWN}/callback"

    def _issuer(self) -> str:
        place = self._desk.books.place
        assert place is not None
        return place.issuer

    def _is_secure(self) -> bool:
        return self._issuer().startswith("https:")


_NOT_LET_IN: Final = "The program is not let in"
_NO_STORE: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
