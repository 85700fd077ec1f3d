"""The pages that people see when a program asks to be let in: HTML, and the fields that guard it.

Everything is written out by Jinja2 with its escaping on. A page loads nothing, runs nothing, cannot
be framed, and sends its form to its own origin only; the one style sheet is named by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.responses import Response


@lru_cache(maxsize=1)
def _environment() -> Environment:
    loader = PackageLoader("underpass.gatehouse.oauth", "templates")
    return Environment(
        loader=loader,
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
    )


@lru_cache(maxsize=1)
def _style() -> tuple[Markup, str]:
    """The style sheet, which is ours and needs no escaping, and its hash for the policy."""
    environment = _environment()
    assert environment.loader is not None
    text = environment.loader.get_source(environment, "style.css")[0]
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Markup(text), f"'sha256-{digest}'"


_FIELDS: Final = {
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: with that, browsers say "Origin: null" on our own form.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin-allow-popups",
    "X-Robots-Tag": "noindex",
}


def policy() -> str:
    """The Content-Security-Policy of every page."""
    return (
        f"default-src 'none'; style-src {_style()[1]}; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )


def page(name: str, status: int = 200, **facts: Any) -> Response:
    """The page ``name`` with ``facts`` written into it."""
    css, _ = _style()
    text = _environment().get_template(f"{name}.html").render(css=css, **facts)
    fields = {**_FIELDS, "Content-Security-Policy": policy()}
    return Response(text, status, fields, media_type="text/html")
