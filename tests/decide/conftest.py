"""Advice as the tests ask for it: on the shipped quotas, on a day when they were fresh."""

from __future__ import annotations

from datetime import date
from importlib.resources import files

import pytest

from underpass.decide.advice import advise
from underpass.decide.here import Here
from underpass.decide.quotas import parse_quotas

TODAY = date(2026, 11, 23)


@pytest.fixture(scope="session")
def quotas():
    return parse_quotas((files("underpass.decide") / "quotas.toml").read_text("utf-8"))


@pytest.fixture(scope="session")
def ask(quotas):
    """Advice for a need, on a machine that nobody looked at unless one is given."""

    def asked(need, here=Here(), today=TODAY):  # noqa: B008  frozen
        return advise(need, here, quotas, today)

    return asked


@pytest.fixture(scope="session")
def best(ask):
    """The first answer."""

    def first(need, here=Here()):  # noqa: B008  frozen
        return ask(need, here).answers[0]

    return first
