"""Errors of the guard alone: secrets that cannot be kept, policies that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.model.errors import Misuse, Setup


@dataclass(eq=False)
class SecretUnreadable(Setup):
    """A file that should hold a secret cannot be read, or holds something else."""

    path: str
    why: str

    code = "secret-unreadable"
    sentence = "cannot read a secret from {path}: {why}"
    hint_text = "check the path; one secret stands in the file, on one line"


@dataclass(eq=False)
class SecretUnwritable(Setup):
    """A secret cannot be stored."""

    path: str
    why: str

    code = "secret-unwritable"
    sentence = "cannot keep a secret in {path}: {why}"
    hint_text = "name another place: UNDERPASS_STATE_DIR, UNDERPASS_RUNTIME_DIR, or another file"


@dataclass(eq=False)
class PolicyInvalid(Misuse):
    """The policy file holds something that is no policy. All mistakes are named together."""

    path: str
    mistakes: str

    code = "policy-invalid"
    sentence = "cannot follow the policy in {path}: {mistakes}"


@dataclass(eq=False)
class GateNotMade(Setup):
    """A kind of gate that is known, and that nothing here can make."""

    gate: str

    code = "gate-not-made"
    sentence = "cannot make the gate {gate} here"
    hint_text = "use another gate, or another way to open the tunnel"


@dataclass(eq=False)
class GateNotLoaded(Setup):
    """A plug-in's gate that is installed and cannot be used."""

    gate: str
    why: str

    code = "gate-not-loaded"
    sentence = "cannot load the gate {gate}: {why}"
    hint_text = "update or remove the package that brings it"


@dataclass(eq=False)
class SecretMissing(Setup):
    """A variable that should hold a secret is not set."""

    variable: str

    code = "secret-missing"
    sentence = "cannot find a secret: the variable {variable} is not set"
    hint_text = "set {variable}, or name another place: env:VARIABLE or file:/path"


@dataclass(eq=False)
class SecretMalformed(Setup):
    """A secret is not of the form that its scheme gives secrets."""

    place: str
    why: str

    code = "secret-malformed"
    sentence = "cannot use the secret in {place}: {why}"
    hint_text = "copy it again from where the webhook is set up"


@dataclass(eq=False)
class KeysUnreadable(Setup):
    """A file that should hold public keys or certificates cannot be used."""

    path: str
    why: str

    code = "keys-unreadable"
    sentence = "cannot use the keys in {path}: {why}"
    hint_text = "check the path and what stands in the file"
