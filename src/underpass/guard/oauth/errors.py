"""What stands in the way of an oauth gate. Importing this needs no extra."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.model.errors import Misuse, Refused, Setup


@dataclass(eq=False)
class OAuthNotInstalled(Setup):
    """The packages that the oauth gate is built on are not installed."""

    missing: str

    code = "oauth-not-installed"
    sentence = "cannot put an oauth gate before a tunnel: the module {missing} is not installed"
    hint_text = "pip install 'underpass[oauth]'"


@dataclass(eq=False)
class OAuthUrlChanges(Refused):
    """An oauth gate before a tunnel whose public URL will be another next time."""

    why: str

    code = "oauth-url-changes"
    sentence = "cannot put an oauth gate before a tunnel whose public URL changes: {why}"
    hint_text = (
        "give it a lasting URL, or say --changing-url: each change voids every sign-in and every "
        "client's registration"
    )


@dataclass(eq=False)
class OAuthNeedsTls(Refused):
    """The public URL is plain HTTP on a host that is not this machine."""

    url: str

    code = "oauth-needs-tls"
    sentence = "cannot put an oauth gate before {url}: tokens would travel there in the clear"
    hint_text = "use an engine or relay whose public side is https"


@dataclass(eq=False)
class OAuthOptionInvalid(Misuse):
    """Options of the oauth gate that do not belong together, or not to this tunnel."""

    option: str
    why: str

    code = "oauth-option-invalid"
    sentence = "cannot use {option}: {why}"


@dataclass(eq=False)
class NoSuchSignIn(Refused):
    """No sign-in with that code waits: mistyped, decided already, or too old."""

    sign_in: str

    code = "no-such-sign-in"
    sentence = "cannot find a sign-in {sign_in!r} that waits"
    hint_text = "underpass approve lists those that wait; the browser shows the whole code"
    exit_code = 3
