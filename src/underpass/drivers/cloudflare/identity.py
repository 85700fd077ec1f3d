"""Which tunnel a token or a credentials file speaks of; the secret in it is not kept."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path

from underpass.drivers.cloudflare.changes import TunnelIdentity
from underpass.drivers.cloudflare.errors import TunnelUnknown
from underpass.drivers.cloudflare.settings import CloudflareSettings
from underpass.drivers.plans import Site
from underpass.guard.secrets import read_private


def find_identity(settings: CloudflareSettings, site: Site) -> TunnelIdentity:
    """Read what the settings name. Raises ``TunnelUnknown`` and what ``read_private`` does."""
    if settings.credentials_file:
        return from_credentials(_read(settings.credentials_file))
    if settings.token_file:
        return from_token(_read(settings.token_file))
    return from_token(site.environment.get(settings.token_variable, "").encode())


def from_token(token: bytes) -> TunnelIdentity:
    """A token is base64 of JSON. Pure; raises ``TunnelUnknown``."""
    try:
        told = json.loads(base64.b64decode(token.strip(), validate=True))
    except ValueError:
        raise TunnelUnknown("its token is no token") from None
    return _identity(told, "a", "t")


def from_credentials(content: bytes) -> TunnelIdentity:
    """The same for a credentials file. Pure; raises ``TunnelUnknown``."""
    try:
        told = json.loads(content)
    except ValueError:
        raise TunnelUnknown("its credentials file is no JSON") from None
    return _identity(told, "AccountTag", "TunnelID")


def _identity(told: object, account: str, tunnel: str) -> TunnelIdentity:
    facts = told if isinstance(told, Mapping) else {}
    found = [facts.get(account), facts.get(tunnel)]
    texts = [each for each in found if isinstance(each, str) and _is_plain(each)]
    if len(texts) != 2:
        raise TunnelUnknown(f"neither {account} nor {tunnel} may be missing")
    return TunnelIdentity(*texts)


def _is_plain(text: str) -> bool:
    """Nothing that could lead elsewhere in a URL's path."""
    return 0 < len(text) <= 64 and text.isascii() and text.replace("-", "").isalnum()


def check_files(settings: CloudflareSettings) -> None:
    """See that nobody else reads the tunnel's secret; a missing file is cloudflared's to tell.

    Raises what ``read_private`` does.
    """
    for path in filter(None, (settings.token_file, settings.credentials_file)):
        if os.path.lexists(path):
            read_private(Path(path))


def _read(path: str) -> bytes:
    if not os.path.lexists(path):
        raise TunnelUnknown(f"there is no file {path}")
    return read_private(Path(path))
