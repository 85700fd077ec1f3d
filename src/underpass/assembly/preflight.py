"""Preflight put together: looked at before anybody can come, refused, or let be for a reason.

Until it has passed, the tunnel's gatehouse finds nobody where the origin is. An origin that is not
there yet, since ``--run`` starts it once the URL is known or somebody starts it by hand, is looked
at as soon as it listens; visitors find it when that is done.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from underpass.api.owner import login_name
from underpass.gatehouse.delivery import ELSEWHERE
from underpass.gatehouse.preflight.look import OriginAway, Subject, look
from underpass.guard.guard import Guard
from underpass.guard.outcomes import Pass
from underpass.guard.preflight.addresses import is_metadata, metadata_finding
from underpass.guard.preflight.claims import claim
from underpass.guard.preflight.errors import DangerousOrigin, check_reason
from underpass.guard.preflight.findings import Finding
from underpass.guard.preflight.openness import openness_of
from underpass.guard.preflight.tools import BRIDGED_PATH, bridged_finding
from underpass.http.messages import RequestHead
from underpass.model.errors import UnderpassError
from underpass.model.options import OpenOptions
from underpass.model.origin import Origin
from underpass.model.spec import TunnelSpec
from underpass.observe.journal import FILE, Entry, Journal

log = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 0.2
"""Between two looks for an origin that is not there yet."""

ACCEPTED: Final = "danger-accepted"
REFUSED: Final = "danger-refused"

T = TypeVar("T")


class Preflight:
    """The preflight of one tunnel."""

    def __init__(
        self,
        spec: TunnelSpec,
        options: OpenOptions,
        guard: Guard,
        origin: Origin,
        permit: Callable[[str, int], bool],
    ) -> None:
        """``origin`` is what is dialled, where ``permit`` allows it. Raises ``ReasonTooShort``."""
        if options.accept_danger:
            check_reason(options.accept_danger)
        self._spec = spec
        self._guard = guard
        self._origin = origin
        self._reason = options.accept_danger
        self._journal = Journal(options.state_dir / FILE)
        self._permit = permit
        self._openness = openness_of(spec)
        self._has_passed = not self._openness.is_any
        self._is_metadata_let_be = False

    def permits(self, host: str, port: int) -> bool:
        """Whether visitors and proofs may be led there now. Raises ``ConnectionRefusedError``
        before preflight has passed: to them nobody is there yet."""
        if not self._has_passed:
            raise ConnectionRefusedError("preflight has not passed")
        return self._permits_address(host, port)

    def _permits_address(self, host: str, port: int) -> bool:
        if not self._permit(host, port):
            return False
        return self._origin.is_unix or self._is_metadata_let_be or not is_metadata(host)

    async def check(self, addresses: Iterable[str]) -> None:
        """Judge where the origin's name leads, and the origin itself if it is there already.

        Raises ``DangerousOrigin``, and what the journal is at fault with.
        """
        found = [metadata_finding(address) for address in addresses if is_metadata(address)]
        if found:
            await self._judge(found[:1])
            self._is_metadata_let_be = True
        if not self._has_passed and self._spec.origin.command:
            await self._judge_bridge()
        if not self._has_passed:
            with suppress(OriginAway):
                await self._look()

    async def while_opening(self, opening: Coroutine[None, None, T]) -> T:
        """Carry out ``opening``; as soon as an origin that was not there listens, look at it.
        Raises what ``check`` raises; ``opening`` is broken off then."""
        if self._has_passed:
            return await opening
        opened = asyncio.create_task(opening, name="underpass: open")
        looking = asyncio.create_task(self._look_until_there(), name="underpass: preflight")
        try:
            await asyncio.wait({opened, looking}, return_when=asyncio.FIRST_COMPLETED)
            if looking.done():
                looking.result()
            return await opened
        finally:
            for task in (opened, looking):
                task.cancel()
            await asyncio.gather(opened, looking, return_exceptions=True)

    async def _look_until_there(self) -> None:
        while not self._has_passed:
            try:
                await self._look()
            except OriginAway:
                await asyncio.sleep(AGAIN_SECONDS)  # nobody tells when a service listens

    async def _judge_bridge(self) -> None:
        """A server that we start ourselves is asked nothing: our bridge asks nobody for a token."""
        guises = ([], claim("bridge")) if self._openness.any_token else ([],)
        target = BRIDGED_PATH.encode()
        heads = [RequestHead(b"POST", target, b"localhost", fields) for fields in guises]
        if any(map(self._admits_strangers, heads)):
            await self._judge((bridged_finding(BRIDGED_PATH),))
        self._has_passed = True

    async def _look(self) -> None:
        spec = self._spec
        subject = Subject(
            self._origin,
            spec.kind,
            spec.peer,
            self._openness,
            self._permits_address,
            self._admits_strangers,
        )
        looked = await look(subject)
        asked, seconds = looked.asked, looked.seconds
        if looked.is_whole:
            log.info("preflight: %d requests in %.1f s", asked, seconds)
        else:
            log.warning("preflight: not all of %d requests were answered in %g s", asked, seconds)
        if looked.findings:
            await self._judge(looked.findings)
        self._has_passed = True

    async def _judge(self, findings: Sequence[Finding]) -> None:
        what = ACCEPTED if self._reason else REFUSED
        entry = Entry(
            at=time.time(),
            who=self._who(),
            tunnel=str(self._spec),
            what=what,
            reason=self._reason,
            findings=[each.to_dict() for each in findings],
        )
        if self._reason:
            # What cannot be written down is not accepted.
            await asyncio.to_thread(self._journal.write, entry)
            return
        try:
            await asyncio.to_thread(self._journal.write, entry)
        except UnderpassError as error:
            log.warning("%s", error.message)
        raise DangerousOrigin(str(self._spec.origin), tuple(findings))

    def _who(self) -> str:
        login = login_name()
        owner = self._spec.lease.owner
        return login if owner in ("", login) else f"{login} for {owner}"

    def _admits_strangers(self, head: RequestHead) -> bool:
        return isinstance(self._guard.judge_http(head, ELSEWHERE), Pass)
