"""The parameters of one request, read from a query or a form, and what none of them may be."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl

from authlib.oauth2.rfc6749 import InvalidClientError, InvalidRequestError

MAX_PARAMETERS: Final = 32
MAX_VALUE: Final = 2048

NAMED: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]*")
"""What may stand in a value that authlib's errors repeat: VSCHAR without quote or backslash."""
WORDS: Final = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")
"""The same with spaces between."""
_STATE: Final = re.compile(r"[\x20-\x7e]*")

Parameters = tuple[tuple[str, str], ...]


def read_form(body: bytes) -> Parameters:
    """The parameters of a form or a query; raises ``ValueError`` for what is none."""
    text = body.decode("ascii")
    return tuple(
        parse_qsl(
            text,
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    )


def check_once(parameters: Iterable[tuple[str, str]]) -> None:
    """Raise ``InvalidRequestError`` when one stands there twice: two readers might take two."""
    names = [name for name, _ in parameters]
    if len(names) != len(set(names)):
        raise InvalidRequestError("a parameter stands there more than once")


def check_characters(parameters: Parameters) -> None:
    """Raise ``InvalidRequestError`` for a value that is too long or holds what none can hold."""
    for name, value in parameters:
        allowed = _STATE if name in ("state", "scope") else NAMED
        if len(value) > MAX_VALUE or not allowed.fullmatch(value):
            raise InvalidRequestError("a parameter is too long or holds odd characters")


def check_basic(authorization: str) -> None:
    """Raise ``InvalidClientError`` for an Authorization field, if there is one, that shows no
    client: authlib reads only those that do."""
    if not authorization:
        return
    scheme, _, credentials = authorization.partition(" ")
    try:
        shown = base64.b64decode(credentials, validate=True).decode("ascii")
    except ValueError:
        shown = ""
    if scheme.lower() != "basic" or ":" not in shown:
        raise InvalidClientError("Authorization shows no client", status_code=401)
