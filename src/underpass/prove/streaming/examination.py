"""One measurement of one tunnel: its two ways made, walked, judged and certified."""

from __future__ import annotations

import ipaddress
import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from underpass.gatehouse.gatehouse import Gatehouse
from underpass.http.messages import Headers
from underpass.prove.door import Door, PublicAddress
from underpass.prove.probes import Identity
from underpass.prove.streaming.certificate import Circumstances, certify
from underpass.prove.streaming.errors import StreamUnmeasurable
from underpass.prove.streaming.judgement import ELSEWHERE, LOOPBACK, Limits, judge
from underpass.prove.streaming.results import Parameters
from underpass.prove.streaming.run import Progress, measure
from underpass.prove.streaming.way import Way


@dataclass(frozen=True, slots=True)
class Subject:
    """The tunnel that is measured."""

    tunnel: str
    kind: str
    engine: str
    tls: str
    version: str
    house: Gatehouse
    door: Door
    """The public one."""
    identity: Identity
    fields: Callable[[], Headers] = list
    """What everybody shows to a vendor's gate outside ours."""

    @property
    def seen_from(self) -> str:
        """Whether the public address is one of this machine's alone."""
        host = self.door.address.host
        if host == "localhost" or host.endswith(".localhost"):
            return "loopback"
        try:
            return "loopback" if ipaddress.ip_address(host).is_loopback else "elsewhere"
        except ValueError:
            return "elsewhere"


async def examine(
    subject: Subject,
    asked: Parameters,
    key: Ed25519PrivateKey,
    tell: Callable[[Progress], None],
    *,
    limits: Limits | None = None,
) -> dict[str, Any]:
    """Measure, and say it in a signed certificate. Raises ``StreamUnmeasurable`` while somebody
    else measures. Cancelling leaves nothing behind."""
    limits = limits or (LOOPBACK if subject.seen_from == "loopback" else ELSEWHERE)
    began = _now()
    async with subject.house.measure() as measurement:
        if measurement is None:
            raise StreamUnmeasurable(subject.tunnel, "another measurement is under way")
        notes, identity = measurement.notes, subject.identity
        here = PublicAddress(False, "127.0.0.1", measurement.port)
        public = Way(subject.door, identity, notes, fields=subject.fields)
        found = await measure(public, Way(Door(here), identity, notes), asked, limits, tell)
    where = Circumstances(
        tunnel=subject.tunnel,
        kind=subject.kind,
        engine=subject.engine,
        tls=subject.tls,
        scheme="https" if subject.door.address.secure else "http",
        host=subject.door.address.host,
        seen_from=subject.seen_from,
        began=began,
        ended=_now(),
        version=subject.version,
        system=f"{platform.system()} {platform.machine()}",
    )
    return certify(found, limits, judge(found, limits), where, key)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
