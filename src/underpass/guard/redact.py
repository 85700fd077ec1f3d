"""Taking secrets out of text and header lists before anybody sees them.

Two nets: secrets that were registered, in the spellings they travel in; and forms that are secret
whoever made them (our tokens by their prefix, values after ``Bearer`` and ``Basic``, the fields
that carry credentials). Redaction is the last net, not the first: nothing should be written that
needs it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Final
from urllib.parse import quote

from underpass.guard.secrets import TOKEN_PATTERN, Secret
from underpass.http.messages import Headers

REDACTED: Final = "[redacted]"

SECRET_FIELDS: Final = frozenset(
    {
        b"authorization",
        b"cookie",
        b"proxy-authorization",
        b"set-cookie",
        b"underpass-proof",
        b"underpass-proof-answer",
        b"underpass-token",
        b"x-api-key",
    }
)

_SHORTEST: Final = 8
# Shorter ones would blank out ordinary words; nothing of ours is shorter than 46.

_FORMS: Final = re.compile(
    rf"{TOKEN_PATTERN}"
    r"|(?<=\bbearer )\s*[A-Za-z0-9._~+/=-]{8,}"
    r"|(?<=\bbasic )\s*[A-Za-z0-9+/=]{8,}"
    r"|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)",
    re.IGNORECASE,
)


class Redactor:
    """Knows the secrets of this process; registering is cheap and for good."""

    def __init__(self) -> None:
        self._spellings: set[str] = set()
        self._known: re.Pattern[str] | None = None

    def add(self, secret: Secret, *, user: str | None = None) -> None:
        """Register a secret; with ``user`` also the pair as ``Basic`` carries it."""
        value = secret.reveal()
        spellings = {value, quote(value, safe=""), b64encode(value.encode()).decode()}
        if user is not None:
            spellings.add(b64encode(f"{user}:{value}".encode()).decode())
        self._spellings |= {each for each in spellings if len(each) >= _SHORTEST}
        longest_first = sorted(self._spellings, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def scrub(self, text: str) -> str:
        """``text`` with every secret replaced by ``[redacted]``. Idempotent."""
        if self._known is not None:
            text = self._known.sub(REDACTED, text)
        return _FORMS.sub(REDACTED, text)

    def scrub_bytes(self, data: bytes) -> bytes:
        """The same for bytes of unknown encoding."""
        return self.scrub(data.decode("latin-1")).encode("latin-1")

    def scrub_headers(self, headers: Headers) -> Headers:
        """A copy in which credentials are replaced, whole where the field exists to carry them."""
        whole = REDACTED.encode()
        return [
            (name, whole if name.lower() in SECRET_FIELDS else self.scrub_bytes(value))
            for name, value in headers
        ]

    def __repr__(self) -> str:
        return f"Redactor({len(self._spellings)} spellings)"
