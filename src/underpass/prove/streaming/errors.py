"""Errors of measuring streams."""

from __future__ import annotations

from dataclasses import dataclass

from underpass.model.errors import Refused


@dataclass(eq=False)
class StreamUnmeasurable(Refused):
    """A tunnel whose streams cannot be measured, or not now."""

    name: str
    why: str

    code = "stream-unmeasurable"
    sentence = "cannot measure how {name} carries streams: {why}"
    hint_text = "measure an http or mcp tunnel that is live, one measurement at a time"


@dataclass(eq=False)
class CertificateRefused(Refused):
    """What is no certificate, was changed, or was signed by another key."""

    why: str

    code = "certificate-refused"
    sentence = "cannot believe this certificate: {why}"
    hint_text = "ask for the file anew, and for the fingerprint of the key it should be signed by"
