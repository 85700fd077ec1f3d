from __future__ import annotations

import pytest

from underpass.drivers.wireguard.health import Code, Facts, OuterPath, judge

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        (Facts(handshake_age=3.0, answered_age=0.5), Code.LIVE),
        (Facts(handshake_age=170.0, answered_age=0.5, received_age=900.0), Code.LIVE),
        # A host that filters pings is live as long as it is heard.
        (Facts(handshake_age=3.0, received_age=1.0, asking=60.0), Code.LIVE),
        # It is made to answer each 15 s, and no oftener.
        (Facts(handshake_age=16.0, received_age=16.0, asking=60.0), Code.LIVE),
        (Facts(handshake_age=18.0, received_age=18.0, asking=60.0), Code.STALE),
        # One that has answered and stopped is not, though its handshakes still come.
        (
            Facts(handshake_age=3.0, answered_age=20.0, received_age=1.0, asking=20.0),
            Code.STALE,
        ),
        (Facts(handshake_age=400.0, answered_age=400.0), Code.IDLE),
        (Facts(handshake_age=20.0, answered_age=20.0, asking=1.0), Code.LIVE),
        (Facts(asking=1.0), Code.SHAKING),
        (Facts(asking=60.0, has_endpoint=False), Code.WAITING),
        (Facts(asking=60.0), Code.NEVER),
        (Facts(asking=60.0, path=OuterPath.ANSWERED), Code.WRONG_KEY),
        (Facts(asking=60.0, path=OuterPath.SILENT), Code.PATH_BLOCKED),
        (Facts(asking=60.0, path=OuterPath.REFUSED), Code.PATH_BLOCKED),
        (Facts(asking=60.0, path=OuterPath.SILENT, rejected=True), Code.WRONG_KEY),
        (Facts(asking=60.0, has_endpoint=False, rejected=True), Code.WRONG_KEY),
        (
            Facts(handshake_age=20.0, answered_age=20.0, asking=9.0, path=OuterPath.SILENT),
            Code.PATH_BLOCKED,
        ),
        (
            Facts(handshake_age=20.0, answered_age=20.0, asking=9.0, path=OuterPath.REFUSED),
            Code.STALE,
        ),
        (
            Facts(handshake_age=20.0, answered_age=20.0, asking=9.0, path=OuterPath.ANSWERED),
            Code.STALE,
        ),
        (
            Facts(handshake_age=20.0, answered_age=20.0, asking=9.0, rejected=True),
            Code.WRONG_KEY,
        ),
    ],
)
def test_facts_become_the_finding_that_fits(facts: Facts, code: Code) -> None:
    assert judge(facts).code is code


def test_every_finding_that_is_not_live_says_what_and_what_to_do() -> None:
    for handshake in (None, 20.0, 400.0):
        for path in OuterPath:
            for endpoint in (True, False):
                for rejected in (True, False):
                    facts = Facts(
                        handshake, handshake, None, 60.0, endpoint, path, rejected=rejected
                    )
                    finding = judge(facts)
                    assert finding.is_live or (finding.detail and finding.hint), facts
                    assert finding.is_final == (finding.code is Code.WRONG_KEY)
