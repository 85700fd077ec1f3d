"""The codes a verdict names, and whom they blame."""

from __future__ import annotations

import re

import pytest

from underpass.model.verdict import Layer
from underpass.prove import findings

pytestmark = pytest.mark.pure


@pytest.mark.parametrize("code", findings.FINDINGS)
def test_every_finding_is_a_kebab_case_code_with_one_clause(code: str) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code)
    sentence = findings.explain(code)
    assert sentence[0].islower()
    assert not sentence.endswith(".")


def test_what_is_not_known_to_come_from_inside_is_blamed_on_the_relay() -> None:
    assert findings.blame("connector-away") is Layer.LINK
    assert findings.blame("origin-away") is Layer.ORIGIN
    assert findings.blame("no-such-tunnel") is Layer.RELAY
    assert findings.blame("something-new") is Layer.RELAY


def test_a_foreign_code_has_no_explanation_of_ours() -> None:
    assert findings.explain("something-new") == ""


def test_the_table_has_a_row_for_every_finding_from_the_outside_to_the_inside() -> None:
    head, rule, *rows = findings.findings_table().splitlines()
    assert head == "| layer | code | what it means |"
    assert rule == "|---|---|---|"
    assert len(rows) == len(findings.FINDINGS)
    assert rows[0] == "| name | `name-lookup-failed` | the public name could not be looked up |"
    layers = [row.split(" ")[1] for row in rows]
    assert layers == sorted(layers, key=[str(layer) for layer in Layer].index)
