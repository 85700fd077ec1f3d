"""Every error of ngrok's that we know has a cause, a fix and a stable code."""

from __future__ import annotations

import re

import pytest

from underpass.drivers.ngrok.faults import BY_NUMBER, FAULTS, explain, find_number, read_page
from underpass.drivers.ngrok.reading import read_line
from underpass.drivers.observations import Refusal

pytestmark = pytest.mark.pure

SECRET = "2abcSECRET"

CODES = {
    4018: "credential-missing",
    105: "credential-malformed",
    107: "credential-refused",
    300: "credential-revoked",
    108: "session-limit",
    120: "agent-too-old",
    121: "agent-too-old",
    102: "payment-failed",
    103: "account-suspended",
    3208: "account-banned",
    324: "endpoint-limit",
    334: "name-online",
    302: "tcp-needs-account",
    8013: "tcp-needs-card",
    303: "tls-needs-plan",
    312: "tls-needs-plan",
    313: "name-not-allowed",
    401: "name-not-allowed",
    322: "name-elsewhere",
    3200: "endpoint-offline",
    3004: "upstream-garbled",
    8012: "upstream-away",
    3204: "webhook-refused",
    6022: "warning-page-anonymous",
    6024: "warning-page",
    714: "connection-limit",
    715: "connection-rate-limit",
    720: "bandwidth-limit",
    721: "bandwidth-limit",
    725: "bandwidth-limit",
    727: "request-limit",
    734: "request-rate-limit",
    1214: "request-rate-limit",
    9009: "proxy-needs-plan",
    8001: "no-internet",
    8011: "ipv6-broken",
}


@pytest.mark.parametrize(("number", "code"), CODES.items())
def test_each_number_is_told_with_its_cause_and_a_fix(number: int, code: str) -> None:
    text = f"the vendor's words with a token 2abcSECRET\\r\\n\\r\\nERR_NGROK_{number}\\r\\n"
    found = read_line(f'{{"err":"{text}","lvl":"eror","msg":"terminating with error"}}')
    assert isinstance(found, Refusal)
    assert found.code == code
    assert found.detail.endswith(f"(ERR_NGROK_{number})")
    assert found.hint
    assert "SECRET" not in found.detail + found.hint
    assert found.fatal is explain(number).fatal


def test_the_table_has_these_and_each_number_once() -> None:
    assert set(BY_NUMBER) == set(CODES)
    assert sum(len(fault.numbers) for fault in FAULTS) == len(BY_NUMBER)
    assert len({fault.code for fault in FAULTS}) == len(FAULTS)
    for fault in FAULTS:
        assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)+", fault.code)
        assert not fault.cause.endswith(".")


def test_an_unknown_number_leads_to_the_vendors_page() -> None:
    found = explain(31_337)
    assert found.code == "engine-error"
    assert found.fix == "see https://ngrok.com/docs/errors/err_ngrok_31337"


@pytest.mark.parametrize("text", ["", "ERR_NGROK_", "ERR_NGROK_x", "MYERR_NGROK_105"])
def test_other_text_has_no_number(text: str) -> None:
    assert find_number(text) is None


def test_what_waiting_or_another_visitor_may_cure_is_not_final() -> None:
    passing = {fault.code for fault in FAULTS if not fault.fatal}
    assert {"name-online", "request-rate-limit", "connection-rate-limit"} <= passing
    assert not {"credential-refused", "session-limit", "agent-too-old"} & passing


@pytest.mark.parametrize(("number", "code"), CODES.items())
def test_an_answer_of_its_edge_to_a_visitor_is_told_with_cause_and_fix(
    number: int, code: str
) -> None:
    told = read_page({"ngrok-error-code": f"ERR_NGROK_{number}"}, "")
    assert told == read_page({}, f"<html>… {SECRET} ERR_NGROK_{number}</html>")
    fault = explain(number)
    assert (fault.code, told) == (code, f"{fault.cause} (ERR_NGROK_{number}); {fault.fix}")
    assert SECRET not in told


def test_an_answer_of_somebody_else_s_is_not_read_as_ngrok_s() -> None:
    assert read_page({"server": "nginx"}, "<h1>404 Not Found</h1>") == ""
