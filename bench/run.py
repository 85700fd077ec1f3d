"""Measures underpass beside its peers: `make bench`, or `python bench/run.py --help`.

Every number comes from one run on one machine, in interleaved rounds, and is told as a ratio. A
peer that cannot be measured here is named with the reason. Results go to `build/bench.json`, and
with `--docs` also to `docs/benchmarks.md`.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

if not __package__:  # run by its path: the folder above is where `bench` is found
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from bench import origins, report
from bench.command import measure_commands
from bench.loads import LoadFailed
from bench.origins import Origins
from bench.peers import ALL, Peer, Workplace
from bench.peers.base import name_of
from bench.processes import NotReady
from bench.report import Figures
from bench.solo import GROUPS, measure
from bench.steady import QUICK, WORKLOADS, Scale, Steady
from bench.weather import Weather
from underpass.testing.certificates import self_signed

ROOT = Path(__file__).resolve().parents[1]
NAMES = 2000
"""Names in the private hosts file: one a tunnel."""


class Run:
    """One run: peers, rounds, figures."""

    def __init__(self, scale: Scale, rounds: int, workplace: Workplace) -> None:
        self.scale = scale
        self.rounds = rounds
        self.workplace = workplace
        self.notes: dict[str, str] = {}
        self.missing: dict[str, str] = {}
        self.figures: dict[str, Figures] = {}

    def choose(self, peers: list[type[Peer]]) -> list[type[Peer]]:
        """Those that can run here; the others are noted as missing."""
        chosen = []
        for peer in peers:
            reason = peer.missing()
            if reason is None:
                self.notes[peer.name] = peer.note
                chosen.append(peer)
            else:
                self.missing[peer.name] = reason
                say(f"{peer.name}: missing: {reason}")
        return chosen

    def steady(self, peers: list[type[Peer]], only: str) -> None:
        """All peers up at once; each round measures every workload of every peer."""
        workloads = [one for one in WORKLOADS if only in one.name]
        if not workloads:
            return
        with ExitStack() as stack:
            weather = stack.enter_context(Weather())
            running = []
            for kind in peers:
                up = Steady(kind(self.workplace), self.workplace, weather)
                stack.callback(up.stop)
                try:
                    up.peer.start_server()
                except (NotReady, OSError) as error:
                    self.fail(kind.name, error)
                    continue
                running.append(up)
            for turn in range(self.rounds):
                say(f"round {turn + 1} of {self.rounds}")
                for workload in workloads:
                    figures = self.of(workload.name, workload.unit, workload.better)
                    # Everybody is first, and last, in some round.
                    for up in running[turn % len(running) :] + running[: turn % len(running)]:
                        if workload.kind not in up.peer.carries:
                            continue
                        try:
                            value = workload.measure(up, self.scale)
                        except (LoadFailed, NotReady, OSError) as error:
                            figures.add(up.peer.name, None)
                            figures.failures[up.peer.name] = str(error)
                            say(f"  {workload.name}: {up.peer.name}: {error}")
                            continue
                        figures.add(up.peer.name, value)
                        say(f"  {workload.name}: {up.peer.name}: {value:.4g} {workload.unit}")

    def solo(self, peers: list[type[Peer]], only: str, rounds: int) -> None:
        """One peer after the other in each round."""
        groups = [group for group in GROUPS if any(only in name for name in group.names)]
        for turn in range(rounds if groups else 0):
            say(f"solo round {turn + 1} of {rounds}")
            for group, kind in itertools.product(groups, peers):
                for name, value, why in measure(kind, group, self.workplace, self.scale):
                    figures = self.of(name, group.unit, "less")
                    figures.add(kind.name, value)
                    if why:
                        figures.failures[kind.name] = why
                    shown = why if value is None else f"{value:.4g} {figures.unit}"
                    say(f"  {name}: {kind.name}: {shown}")

    def commands(self, only: str) -> None:
        """What a person waits for at the command line; ours alone."""
        for turn in range(self.rounds):
            for name, unit, value, why in measure_commands(self.workplace, turn, only):
                figures = self.of(name, unit, "less")
                figures.add("underpass", value)
                if why:
                    figures.failures["underpass"] = why
                say(f"  {name}: {why if value is None else f'{value:.4g} {unit}'}")

    def of(self, name: str, unit: str, better: str) -> Figures:
        return self.figures.setdefault(name, Figures(name, unit, better))

    def fail(self, peer: str, error: Exception) -> None:
        self.missing[peer] = f"failed here: {error}"
        say(f"  {peer}: FAILED: {error}")

    def to_dict(self) -> dict[str, object]:
        return {
            "schema": "underpass/v1/bench",
            "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "machine": report.machine(),
            "rounds": self.rounds,
            "engines": versions(),
            "peers": self.notes,
            "missing": self.missing,
            "figures": [figures.to_dict() for figures in self.figures.values()],
        }

    def table(self) -> str:
        place = report.machine()
        return report.tables(
            list(self.figures.values()), self.notes, self.missing, place, self.rounds
        )


def make_workplace(folder: Path, running: Origins) -> Workplace:
    """A certificate and a hosts file for the names of the benchmark."""
    names = [f"{name_of(number)}.bench.test" for number in range(NAMES)]
    certificate = self_signed("bench.test", "*.bench.test", "127.0.0.1")
    (folder / "cert.pem").write_bytes(certificate.certificate)
    (folder / "key.pem").touch(mode=0o600)
    (folder / "key.pem").write_bytes(certificate.key)
    (folder / "hosts").write_text(
        "127.0.0.1 localhost\n127.0.0.1 bench.test\n"
        + "".join(f"127.0.0.1 {name}\n" for name in names)
    )
    return Workplace(folder, running, folder / "cert.pem", folder / "key.pem", folder / "hosts")


def versions() -> dict[str, str]:
    """Versions of the peers, from the manifest of `make engines` and from OpenSSH itself."""
    chosen = os.environ.get("UNDERPASS_ENGINES")
    cache = Path(chosen) if chosen else Path.home() / ".cache" / "underpass" / "engines"
    found: dict[str, str] = {}
    try:
        engines = json.loads((cache / "manifest.json").read_text())["engines"]
        found = {name: entry["version"] for name, entry in engines.items()}
    except (OSError, ValueError, KeyError):
        pass
    if shutil.which("ssh"):
        said = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr
        found["ssh"] = said.split(",")[0].strip()
    return found


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="at least 5 for a median")
    parser.add_argument(
        "--solo-rounds", type=int, help="of recovery and memory, if fewer than --rounds"
    )
    parser.add_argument("--quick", action="store_true", help="a sanity test: numbers mean nothing")
    parser.add_argument("--peers", default="", help="only these, separated by commas")
    parser.add_argument("--only", default="", metavar="TEXT", help="workloads with TEXT in them")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench.json")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.md")
    chosen = parser.parse_args(arguments)
    wanted = [name.strip() for name in chosen.peers.split(",") if name.strip()]
    unknown = set(wanted) - {peer.name for peer in ALL}
    if unknown:
        names = ", ".join(peer.name for peer in ALL)
        parser.error(f"no such peer: {', '.join(sorted(unknown))} (there are {names})")
    if reason := origins.missing():
        parser.error(reason)
    scale = QUICK if chosen.quick else Scale()
    # Ending in order ends all that was started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        running = Origins(folder)
        stack.callback(running.stop)
        run = Run(scale, 1 if chosen.quick else chosen.rounds, make_workplace(folder, running))
        peers = run.choose([peer for peer in ALL if not wanted or peer.name in wanted])
        run.steady(peers, chosen.only)
        run.solo(peers, chosen.only, min(run.rounds, chosen.solo_rounds or run.rounds))
        if not wanted or any(name.startswith("underpass") for name in wanted):
            run.commands(chosen.only)
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(run.to_dict(), indent=1) + "\n")
    table = run.table()
    print(table)
    if chosen.docs:
        head = "# Benchmarks\n\nWritten by `make bench`; how is told in `bench/`.\n\n"
        (ROOT / "docs" / "benchmarks.md").write_text(head + table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
