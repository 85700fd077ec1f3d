"""Reading what a gate's text refers to: secrets from variables and files, never from the text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from underpass.guard.errors import SecretMissing
from underpass.guard.secrets import Secret, read_secret
from underpass.model.gate_arguments import Reference


def read_reference(reference: Reference, environment: Mapping[str, str]) -> Secret:
    """The secret that ``reference`` names. Raises ``SecretMissing``, or for a file what
    ``read_secret`` raises: others must not be able to read it."""
    if reference.scheme == "file":
        return read_secret(Path(reference.place))
    value = environment.get(reference.place, "").strip()
    if not value:
        raise SecretMissing(variable=reference.place)
    return Secret(value)
