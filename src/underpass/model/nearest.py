"""What a mistyped word most likely meant. Pure."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 64
# Longer words are no slip of the finger, and comparing takes time by the square of the length.


def nearest(word: str, known: Iterable[str]) -> str:
    """The one of ``known`` that ``word`` is most like; empty when it is like none of them."""
    # Not at the top: the command line must start fast, and most words are right.
    from difflib import get_close_matches

    if len(word) > _LONGEST:
        return ""
    written = {each.lower(): each for each in known}
    close = get_close_matches(word.lower(), sorted(written), n=1)
    return written[close[0]] if close else ""


def meant(near: str, otherwise: str) -> str:
    """A hint that begins with what was most likely meant, if anything was."""
    return f"did you mean {near}? {otherwise}" if near else otherwise


def or_nearest(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that says ``word`` is not known."""
    near = nearest(word, known)
    return f"; did you mean {near}?" if near else ""
