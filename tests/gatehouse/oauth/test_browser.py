"""The cookie that tells browsers apart."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers
from starlette.responses import Response

from underpass.gatehouse.oauth.browser import Browsers

OURS = "x" * 43
NAME = "__Host-underpass-browser"


def read(*lines: str, secure: bool = True) -> str:
    raw = [(b"cookie", line.encode("latin-1")) for line in lines]
    return Browsers().read(Headers(raw=raw), secure=secure)


@pytest.mark.parametrize(
    "lines",
    [
        (f"{NAME}={OURS}",),
        (f"a=b; {NAME}={OURS};c=d",),
        ("a=b", f"{NAME}={OURS}"),
        # What the origin keeps there may be no cookie at all by the letter.
        (f'state={{"a": [1, 2]}}; {NAME}={OURS}',),
        (f"caf\u00e9=\u00fc; =; ;; {NAME}={OURS}",),
    ],
)
def test_ours_is_found_among_others(lines: tuple[str, ...]):
    assert read(*lines) == OURS


@pytest.mark.parametrize(
    "line",
    [
        "",
        f"{NAME}=",
        f"{NAME}={OURS}; {NAME}={'y' * 43}",
        f"{NAME}={OURS}x",
        f"{NAME}={OURS[1:]}",
        f'{NAME}="{OURS}"',
        f"{NAME}={OURS[1:]}\u00e9",
        # Names that the tunnel next door may set for both.
        f"underpass-browser={OURS}",
        f"__Secure-underpass-browser={OURS}",
        f"__host-underpass-browser={OURS}",
    ],
)
def test_what_somebody_else_planted_is_none(line: str):
    assert read(line) == ""


def test_in_public_it_belongs_to_this_very_host():
    """RFC 6265bis, 4.1.3.2: secure, without a domain, for all paths."""
    response, browsers = Response(), Browsers()
    browsers.set(response, browsers.fresh(), secure=True)
    told = response.headers["set-cookie"]
    assert told.startswith(f"{NAME}=")
    for word in ("HttpOnly", "Secure", "SameSite=lax", "Path=/;"):
        assert word in told
    assert "domain" not in told.lower()
    assert read(told.partition(";")[0])
