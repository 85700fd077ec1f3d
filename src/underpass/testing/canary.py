"""Finds secrets where they must not be: command lines, environments and output.

Plant canaries where real secrets would be, let the programs run, then scan::

    canary = Canary()
    token_file.write_text(canary.plant("enrolment token"))
    with canary.watch():                    # looks at all processes every 50 ms
        ...
    assert canary.findings() == []          # what the watch saw
    assert canary.scan(files=[log]) == []   # what is there now

A canary is found plain, URL-quoted, in hexadecimal and in base64 at any alignment (a password in
an `Authorization: Basic` header shows up in one of three forms).
"""

from __future__ import annotations

import base64
import os
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

WATCH_INTERVAL = 0.05
"""Seconds between two looks; a process that lives shorter may be missed."""

OVERLAP = 4096
"""Bytes read twice at the borders of blocks: longer than any form of a canary."""

BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where a canary was seen. Does not contain the canary."""

    label: str
    """What the canary was planted as."""
    place: str
    """`cmdline`, `environ`, `file` or `text`."""
    where: str
    """The pid with the process's name, or the path, or the name given to the text."""


class Canary:
    """Plants secrets and looks for them. Thread-safe once all canaries are planted."""

    def __init__(self) -> None:
        self._forms: dict[str, tuple[bytes, ...]] = {}
        self._seen: dict[Finding, None] = {}
        self._lock = threading.Lock()

    def plant(self, label: str) -> str:
        """A fresh secret, at home in headers, URLs and files, to be searched for from now on."""
        secret = f"canary_{secrets.token_hex(20)}"
        self.watch_for(label, secret)
        return secret

    def watch_for(self, label: str, secret: str) -> None:
        """Searches for a secret that somebody else made, such as a token our program printed."""
        self._forms[label] = tuple(_forms(secret.encode()))

    def scan(
        self,
        *,
        files: Iterable[str | os.PathLike[str]] = (),
        texts: dict[str, str | bytes] | None = None,
        processes: bool = True,
        environments: bool = True,
    ) -> list[Finding]:
        """Every place where a canary is now; [] is what a test wants.

        Looks at all processes that this user may read, at `files` (directories with everything
        below them) and at `texts` by name. Missing files are skipped.
        """
        found: dict[Finding, None] = {}
        if processes:
            found.update(dict.fromkeys(self._scan_processes(environments)))
        for path in _files_below(files):
            labels = {label for block in _blocks(path) for label in self._labels(block)}
            found.update({Finding(label, "file", str(path)): None for label in sorted(labels)})
        for name, text in (texts or {}).items():
            content = text.encode() if isinstance(text, str) else text
            found.update({Finding(label, "text", name): None for label in self._labels(content)})
        return list(found)

    @contextmanager
    def watch(self, interval: float = WATCH_INTERVAL) -> Iterator[None]:
        """Looks at all processes in a thread of its own until left, for `findings`."""
        stop = threading.Event()

        def look() -> None:
            while True:
                seen = dict.fromkeys(self._scan_processes(True))
                with self._lock:
                    self._seen.update(seen)
                if stop.wait(interval):
                    return

        thread = threading.Thread(target=look, name="canary watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def findings(self) -> list[Finding]:
        """What watches have seen so far."""
        with self._lock:
            return list(self._seen)

    def _scan_processes(self, environments: bool) -> Iterator[Finding]:
        for process in Path("/proc").glob("[0-9]*"):
            for place in ("cmdline", "environ") if environments else ("cmdline",):
                try:
                    content = (process / place).read_bytes()
                    labels = list(self._labels(content))
                    if labels:
                        name = (process / "comm").read_text().strip()
                except OSError:  # ended meanwhile, or another user's
                    continue
                for label in labels:
                    yield Finding(label, place, f"{process.name} ({name})")

    def _labels(self, content: bytes) -> Iterator[str]:
        for label, forms in self._forms.items():
            if any(form in content for form in forms):
                yield label


def _forms(secret: bytes) -> Iterator[bytes]:
    yield secret
    yield quote(secret, safe="").encode()
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for shift in range(3):
        padded = b"\0" * shift + secret
        # Characters at both ends also depend on the neighbours: only the core is certain.
        first, last = -(-shift * 8 // 6), len(padded) * 8 // 6
        yield base64.b64encode(padded)[first:last]
        yield base64.urlsafe_b64encode(padded)[first:last]


def _files_below(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    for path in map(Path, paths):
        if path.is_dir():
            yield from (file for file in sorted(path.rglob("*")) if file.is_file())
        elif path.is_file():
            yield path


def _blocks(path: Path) -> Iterator[bytes]:
    tail = b""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield tail + block
            tail = block[-OVERLAP:]
