"""The questions that preflight puts to an HTTP origin, and why each of them changes nothing.

Every one is a GET that the program it is meant for answers by reading. On any other program it asks
for a page that is most likely not there. The few requests with a body are the subject of ``tools``
(MCP) and of ``FOLLOWING`` here, which are asked only where another answer has shown that the
program is the one they are meant for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from underpass.http.messages import Headers

NOWHERE: Final = "/underpass-preflight/no-such-page"
"""Frameworks show their debug pages for paths that they do not know."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request."""

    name: str
    """What signs call it by."""
    target: str
    harmless: str
    """Why it changes nothing."""
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @property
    def text(self) -> str:
        """As findings name it."""
        return f"{self.method} {self.target}"

    @property
    def fields(self) -> Headers:
        """Its header fields, besides what every request has."""
        return [(name.encode("ascii"), value.encode("ascii")) for name, value in self.headers]


@dataclass(frozen=True, slots=True)
class Following:
    """A request that is sent only if the answer to another holds some bytes."""

    ask: Ask
    after: str
    """Name of the other."""
    holds: bytes


WEB: Final = (
    Ask("page", "/", "any visitor's first request"),
    Ask("nowhere", NOWHERE, "a page that is not there"),
    # Shells
    Ask("gotty-config", "/auth_token.js", "GoTTY: a script of its page; connects nothing"),
    Ask("wetty", "/wetty", "WeTTY: its page; a shell begins with a WebSocket"),
    # Notebooks
    Ask("jupyter", "/api/kernelspecs", "Jupyter: lists what could be started; starts nothing"),
    Ask("node-red", "/settings", "Node-RED: its editor's settings; deploys nothing"),
    # Debuggers
    Ask("werkzeug", "/?__debugger__=yes&cmd=resource&f=debugger.js", "Werkzeug: a static script"),
    Ask("werkzeug-console", "/console", "Werkzeug: the page; runs nothing without a command"),
    Ask("devtools", "/json/list", "Chrome, Node: lists what could be debugged; attaches nowhere"),
    Ask("pprof", "/debug/pprof/", "Go: the index; no profile is taken"),
    Ask("actuator", "/actuator", "Spring: the index; no dump is taken"),
    # Databases and their pages
    Ask("couchdb", "/_all_dbs", "CouchDB: lists names"),
    Ask("chroma", "/api/v2/auth/identity", "Chroma: who one is to it; reads no collection"),
    Ask("phpmyadmin", "/phpmyadmin/", "phpMyAdmin: the page for signing in"),
    Ask("adminer", "/adminer.php", "Adminer: the page for signing in"),
    Ask("adminer-directory", "/adminer/", "Adminer: the page for signing in"),
    # Machines and clusters
    Ask("version", "/version", "Docker, etcd, Kubernetes: names and numbers"),
    Ask("kubernetes", "/api/v1/namespaces?limit=1", "Kubernetes: lists one name"),
    Ask("kubelet", "/pods", "kubelet: lists what runs"),
    Ask("ray", "/api/version", "Ray: names and numbers; submits no job"),
    # Metadata services, in the words of each: a field that no browser sends
    Ask("metadata-aws", "/latest/meta-data/", "EC2: lists names; no credential is asked for"),
    Ask(
        "metadata-google",
        "/computeMetadata/v1/instance/",
        "Google Cloud: lists names; no credential is asked for",
        headers=(("Metadata-Flavor", "Google"),),
    ),
    Ask(
        "metadata-azure",
        "/metadata/versions",
        "Azure: lists versions; no credential is asked for",
        headers=(("Metadata", "true"),),
    ),
    # What agents and their models are run by
    Ask("lm-studio", "/api/v0/models", "LM Studio: lists models; loads none"),
    Ask("comfyui", "/system_stats", "ComfyUI: versions and devices"),
    Ask("mcp-inspector", "/api/config", "MCP Inspector: its defaults; starts nothing"),
    Ask("mcp-proxy", "/config", "MCP Inspector's proxy of old: its defaults; starts nothing"),
    # Ours
    Ask("ours", "/v1/tunnels", "underpass: lists tunnels"),
    Ask("ours-metrics", "/metrics", "underpass: counters"),
)
"""Sent to every HTTP origin that is open to everybody."""

FOLLOWING: Final = (
    Following(
        Ask(
            "etcd",
            "/v3/kv/range",
            "etcd: reads the number of keys; a range request cannot write",
            "POST",
            (("Content-Type", "application/json"),),
            b'{"key":"AA==","range_end":"AA==","count_only":true}',
        ),
        "version",
        b'"etcdserver"',
    ),
)

MOST_BASES: Final = 4
"""Open prefixes below which the questions are asked again. A bound, since each costs the origin
``len(WEB)`` requests."""
