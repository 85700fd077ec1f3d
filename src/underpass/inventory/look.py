"""Asking every engine, all at once and for a limited time, what others opened on this machine.

Each driver is asked on a thread of its own, because one that hangs (a vendor's API, a plug-in, a
frozen program) must cost the others nothing, and this process neither: the thread ends with it.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import psutil

from underpass.drivers.orphans import owners, programs
from underpass.drivers.others import Running, running
from underpass.drivers.plans import ForeignTunnel, Site
from underpass.drivers.registry import BUILT_IN, known, load
from underpass.inventory.hidden import IN_WORDS, clean, secrets_of
from underpass.inventory.peers import read_peer
from underpass.model.errors import UnderpassError

SECONDS: Final = 2.0
"""For all engines together, once our own drivers are loaded."""

PEERS: Final = "other programs"
"""In the place of an engine's word: programs that have no driver."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is here of others."""

    tunnels: tuple[ForeignTunnel, ...] = ()
    silent: tuple[str, ...] = ()
    """Engines that did not answer in time."""
    broken: tuple[tuple[str, str], ...] = ()
    """Engines that could not be asked, each with the reason."""


_LOOPBACK: Final = re.compile(r"127\.0\.0\.1:(\d{1,5})\b")

Question = Callable[[], Sequence[ForeignTunnel]]


def look(
    runtime_dir: Path,
    directory: Path,
    environment: Mapping[str, str],
    *,
    engines: Sequence[str] | None = None,
    seconds: float = SECONDS,
) -> Inventory:
    """Ask ``engines`` (all known ones when None), and look for programs without a driver.

    ``directory`` lies in ``runtime_dir``, is empty and private: programs that drivers ask start
    there. What the processes of ``runtime_dir`` carry is ours, and not told. The answers take
    ``seconds`` at most.
    """
    questions: dict[str, Question] = {PEERS: _peers}
    engines = known() if engines is None else engines
    for engine in BUILT_IN.keys() & engines:
        # Importing takes a slow machine a second, which is not to be taken for an engine's silence.
        with suppress(UnderpassError):
            load(engine)
    for engine in engines:
        site = Site("inventory", directory, environment=environment)
        questions[engine] = lambda engine=engine, site=site: asyncio.run(  # type: ignore[misc]
            load(engine).foreign(site)
        )
    answers = ask_all(questions, seconds)
    ours, ports = programs(runtime_dir), _ports(owners(runtime_dir))
    others = {each.pid: each for each in running()}
    tunnels = [
        tidy(tunnel, others.get(tunnel.pid))
        for engine in sorted(questions, key=_rank)
        for tunnel in answers.found.get(engine, ())
        if tunnel.pid not in ours and not (tunnel.pid == 0 and _leads_to(tunnel, ports))
    ]
    return Inventory(
        tuple(once(tunnels, _parent)), tuple(answers.silent), tuple(answers.broken.items())
    )


@dataclass(slots=True)
class Answers:
    """What came back before the time was over."""

    found: dict[str, Sequence[ForeignTunnel]]
    silent: list[str]
    broken: dict[str, str]


def ask_all(questions: Mapping[str, Question], seconds: float) -> Answers:
    """Ask each on a thread of its own; who has not answered after ``seconds`` is silent."""
    answers = Answers({}, [], {})

    def ask(engine: str, question: Question) -> None:
        try:
            answers.found[engine] = question()
        except UnderpassError as error:
            answers.broken[engine] = error.message
        except Exception as error:
            # Its own text is left out: it may quote what it was given, secrets included.
            answers.broken[engine] = type(error).__name__

    deadline = time.monotonic() + seconds
    threads = {
        engine: threading.Thread(
            target=ask, args=(engine, question), name=f"inventory: {engine}", daemon=True
        )
        for engine, question in questions.items()
    }
    for thread in threads.values():
        thread.start()
    for engine, thread in threads.items():
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            answers.silent.append(engine)
    return Answers(dict(answers.found), answers.silent, dict(answers.broken))


def tidy(tunnel: ForeignTunnel, program: Running | None) -> ForeignTunnel:
    """``tunnel`` without secrets, with what its program's words and sockets add to its risks."""
    secrets = [] if program is None else secrets_of(program.name, program.words)
    risks = list(tunnel.risks)
    if program is not None:
        risks += [f"it listens for other machines, too: {at}" for at in _wide(program.pid)]
        risks += [IN_WORDS] if secrets else []
    return replace(
        tunnel,
        where=clean(tunnel.where, secrets),
        exposes=clean(tunnel.exposes, secrets),
        public=clean(tunnel.public, secrets),
        owner=clean(tunnel.owner, secrets),
        risks=tuple(dict.fromkeys(clean(risk, secrets) for risk in risks)),
    )


def once(tunnels: Sequence[ForeignTunnel], parent: Callable[[int], int]) -> list[ForeignTunnel]:
    """Each tunnel once: two engines may know the same program, and autossh runs an ssh that has the
    same words. The first one stays, and of parent and child the parent."""
    known_as = {(tunnel.pid, tunnel.exposes) for tunnel in tunnels if tunnel.pid}
    seen: set[tuple[int, str]] = set()
    kept = []
    for tunnel in tunnels:
        key = (tunnel.pid, tunnel.exposes)
        if tunnel.pid and (key in seen or (parent(tunnel.pid), tunnel.exposes) in known_as):
            continue
        seen.add(key)
        kept.append(tunnel)
    return kept


def _peers() -> list[ForeignTunnel]:
    return [
        program.tunnel(it.engine, it.exposes, it.public, it.risks)
        for program in running()
        for it in read_peer(program.name, program.words)
    ]


def _rank(engine: str) -> tuple[bool, bool, str]:
    """Who knows a program best comes first: drivers before others, services before plain ssh."""
    return engine == PEERS, engine == "ssh", engine


def _parent(pid: int) -> int:
    with suppress(psutil.Error):
        return psutil.Process(pid).ppid()
    return 0


def _ports(pids: frozenset[int]) -> frozenset[int]:
    """Where processes listen for TCP, as far as this user may see it."""
    return frozenset(each.laddr.port for pid in pids for each in _listening(pid))


def _wide(pid: int) -> list[str]:
    wide = [each.laddr for each in _listening(pid) if each.laddr.ip in ("0.0.0.0", "::")]
    return sorted({f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}" for ip, port in wide})


def _listening(pid: int) -> list[Any]:
    with suppress(psutil.Error):
        found = psutil.Process(pid).net_connections("tcp")
        return [each for each in found if each.status == psutil.CONN_LISTEN]
    return []


def _leads_to(tunnel: ForeignTunnel, ports: frozenset[int]) -> bool:
    return any(int(port) in ports for port in _LOOPBACK.findall(tunnel.exposes))
