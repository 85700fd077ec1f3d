"""Which names announce a secret: of header fields, query and form keys, and JSON members.

A name is compared without case, ``_``, ``-``, dots and spaces, so ``client_secret``,
``clientSecret`` and ``X-Client-Secret`` are one. Rather one name too many than one too few; what
looks alike and is harmless stands in ``_HARMLESS``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from underpass.guard.redact import SECRET_FIELDS

_WHOLE: Final = frozenset(
    {
        b"accesskey",
        b"assertion",
        b"auth",
        b"authorization",
        b"authorizationcode",
        b"bearer",
        b"cardnumber",
        b"clientassertion",
        b"codeverifier",
        b"cookie",
        b"cookies",
        b"credential",
        b"credentials",
        b"csrf",
        b"cvc",
        b"cvv",
        b"devicecode",
        b"iban",
        b"jwt",
        b"otp",
        b"pass",
        b"pin",
        b"privkey",
        b"pwd",
        b"requesturi",  # RFC 9126: whoever has it has the pushed request
        b"samlresponse",
        b"sessionid",
        b"setcookie",
        b"ssn",
        b"totp",
        b"usercode",
    }
)

_ENDINGS: Final = (
    b"accesskey",
    b"accesskeyid",
    b"apikey",
    b"authkey",
    b"encryptionkey",
    b"passphrase",
    b"passwd",
    b"password",
    b"privatekey",
    b"secret",
    b"secretkey",
    b"secrets",
    b"sessionid",
    b"sessionkey",
    b"sharedkey",
    b"signingkey",
    b"token",
)

_HARMLESS: Final = frozenset(
    {
        b"continuationtoken",
        b"mcpsessionid",  # a name for a conversation; DESIGN, session ids are no credential
        b"nextpagetoken",
        b"nexttoken",
        b"pagetoken",
        b"progresstoken",  # MCP's name for a progress channel
        b"starttoken",
        b"synctoken",
    }
)

_IN_QUERIES: Final = frozenset(
    {b"code", b"key", b"sig", b"signature", b"xamzsignature", b"session"}
)
"""Secret in a query or form (an OAuth code, a signed URL), too common a word elsewhere."""

STEMS: Final = (
    b"pass",
    b"pwd",
    b"secret",
    b"token",
    b"key",
    b"auth",
    b"cookie",
    b"credential",
    b"session",
    b"assertion",
    b"bearer",
    b"csrf",
    b"cvc",
    b"cvv",
    b"card",
    b"iban",
    b"jwt",
    b"otp",
    b"pin",
    b"sig",
    b"ssn",
    b"verifier",
    b"code",
    b"requesturi",
    b"request_uri",
    b"samlresponse",
)
"""In lower case; every name that ``announces_secret`` has one of these in it, unless its letters
are escaped."""

_DROPPED: Final = b"_-. []"


@lru_cache(maxsize=2048)
def announces_secret(name: bytes) -> bool:
    """Whether a JSON member, or a form or query key, of this name holds a secret."""
    plain = name.lower().translate(None, _DROPPED)
    if plain in _HARMLESS:
        return False
    return plain in _WHOLE or plain.endswith(_ENDINGS)


@lru_cache(maxsize=2048)
def announces_secret_in_query(name: bytes) -> bool:
    """The same for a query or form key."""
    return announces_secret(name) or name.lower().translate(None, _DROPPED) in _IN_QUERIES


@lru_cache(maxsize=2048)
def is_secret_field(name: bytes) -> bool:
    """Whether a header field of this name carries a credential."""
    lower = name.lower()
    return (
        lower in SECRET_FIELDS
        or lower.startswith(b"proxy-auth")
        or lower in (b"cf-access-jwt-assertion", b"x-amzn-oidc-data", b"x-csrf-token")
        or announces_secret(lower.removeprefix(b"x-"))
    )
