"""The table of signs: what shows an HTTP program that strangers must not have.

Patterns are of what the program's own pages and answers hold as structure (a script's variable, a
member's name, a form's field), seen in the versions that ``tests/e2e/preflight`` runs or
``tools/preflight/record.py`` recorded; where no registry brings the program, as its own sources and
documentation have it. A page that talks *about* one of these programs holds its name, and none of
these.
"""

from __future__ import annotations

from typing import Final

from underpass.guard.preflight.findings import AGENTS, BEARER, BROWSER, ELSEWHERE
from underpass.guard.preflight.signs import Sign

_TITLE: Final = r"<title>[^<]{0,40}"

SHELLS: Final = (
    Sign(
        "shell-ttyd",
        "a ttyd shell that asks for no password",
        ("page",),
        BROWSER,
        fields={"server": r"ttyd/"},
    ),
    Sign(
        "shell-gotty",
        "a GoTTY shell that asks for no password",
        ("gotty-config",),
        BROWSER,
        body=(r"var gotty_auth_token = ",),
    ),
    Sign(
        "shell-wetty",
        "a WeTTY shell",
        ("page", "wetty"),
        BROWSER,
        body=(_TITLE + r"WeTTY", r'id="terminal"'),
    ),
    Sign(
        "shell-shellinabox",
        "a Shell In A Box",
        ("page",),
        BROWSER,
        body=(r"ShellInABox - Make command line applications", r'src="ShellInABox\.js"'),
    ),
)

NOTEBOOKS: Final = (
    Sign(
        "notebook-jupyter",
        "a Jupyter server that asks for no token",
        ("jupyter",),
        BROWSER,
        members={"default": str, "kernelspecs": dict},
    ),
    Sign(
        "notebook-marimo",
        "a marimo editor that asks for no token",
        ("page",),
        BROWSER,
        # An application (``marimo run``) has the mode "read".
        body=(r'"mode": "(?:edit|home)"', r"<marimo-version data-version="),
    ),
    Sign(
        "notebook-node-red",
        "a Node-RED editor that asks for no password",
        ("node-red",),
        BROWSER,
        members={"httpNodeRoot": str, "version": str, "editorTheme": dict},
    ),
    Sign(
        "notebook-code-server",
        "an editor with a terminal (VS Code) that asks for no password",
        ("page",),
        BROWSER,
        body=(r'id="vscode-workbench-web-configuration"',),
    ),
)

DEBUGGERS: Final = (
    Sign(
        "debugger-werkzeug",
        "an application under the Werkzeug debugger (Flask's debug mode)",
        ("werkzeug", "werkzeug-console"),
        BEARER,
        body=(r"CONSOLE_MODE && EVALEX|var CONSOLE_MODE = true", r"EVALEX_TRUSTED"),
    ),
    Sign(
        "debugger-django",
        "a Django application with DEBUG = True",
        ("page", "nowhere"),
        BEARER,
        status=(400, 404, 500),
        body=(r"you have <code>DEBUG\s*=\s*True</code> in",),
    ),
    Sign(
        "debugger-django",
        "a Django application with DEBUG = True",
        ("page",),
        BEARER,
        body=(r'you have <a\s+href="[^"]+"[^>]*>DEBUG=True</a> in\s+your settings',),
    ),
    Sign(
        "debugger-devtools",
        "the debugger's port of a browser or of Node.js",
        ("devtools",),
        BEARER,
        body=(
            r'"devtoolsFrontendUrl"',
            r'"webSocketDebuggerUrl":\s*"wss?://',
        ),
    ),
    Sign(
        "debugger-pprof",
        "a Go program with its profiler (net/http/pprof)",
        ("pprof",),
        BEARER,
        body=(_TITLE + r"/debug/pprof/</title>", r"goroutine\?debug="),
    ),
    Sign(
        "debugger-actuator",
        "a Spring application with its actuator's dumps or environment",
        ("actuator",),
        BEARER,
        body=(r'"(?:heapdump|env|threaddump|jolokia|shutdown|gateway)":\s*\{"href"', r'"_links"'),
        members={"_links": dict},
    ),
)

DATABASES: Final = (
    Sign(
        "database-elasticsearch",
        "an Elasticsearch or OpenSearch that asks for no password",
        ("page",),
        BEARER,
        body=(r"You Know, for Search|The OpenSearch Project: https://opensearch\.org/",),
        members={"cluster_name": str, "tagline": str, "version": dict},
    ),
    Sign(
        "database-couchdb",
        "a CouchDB that lists its databases to anybody",
        ("couchdb",),
        BEARER,
        fields={"server": r"CouchDB/"},
        body=(r"\A\s*\[",),
    ),
    Sign(
        "database-chroma",
        "a Chroma that asks for no token",
        ("chroma",),
        BEARER,
        members={"user_id": str, "tenant": str, "databases": list},
    ),
    Sign(
        "database-etcd",
        "an etcd that answers without a password",
        ("etcd",),
        BEARER,
        body=(r'"cluster_id"', r'"raft_term"'),
        members={"header": dict},
    ),
    Sign(
        "admin-phpmyadmin",
        "phpMyAdmin, which signs in to the databases behind it",
        ("page", "phpmyadmin"),
        BROWSER,
        body=(
            r'name="pma_(?:username|servername|password)"|var PMA_commonParams|CommonParams\.set',
        ),
    ),
    Sign(
        "admin-adminer",
        "Adminer, which signs in to any database that it can reach",
        ("page", "adminer", "adminer-directory"),
        BROWSER,
        body=(r"name=.auth\[driver\]", r"name=.auth\[server\]"),
    ),
    Sign(
        "admin-redis-commander",
        "Redis Commander, which edits the Redis behind it",
        ("page",),
        BROWSER,
        body=(_TITLE + r"Redis Commander", r"redisCommander|rediscommander|keyTree"),
    ),
)

MACHINES: Final = (
    Sign(
        "machine-docker",
        "a Docker or Podman API, which commands this machine",
        ("version",),
        BEARER,
        fields={"api-version": r"\d"},
        members={"ApiVersion": str, "MinAPIVersion": str, "Components": list},
    ),
    Sign(
        "machine-kubernetes",
        "a Kubernetes API that answers strangers",
        ("kubernetes",),
        BEARER,
        body=(r'"kind":\s*"NamespaceList"',),
        members={"kind": str, "apiVersion": str, "items": list},
    ),
    Sign(
        "machine-kubelet",
        "a kubelet that answers strangers",
        ("kubelet",),
        BEARER,
        body=(r'"kind":\s*"PodList"',),
        members={"kind": str, "apiVersion": str},
    ),
    Sign(
        "machine-ray",
        "a Ray cluster, which runs whatever job it is given",
        ("ray",),
        BEARER,
        members={"ray_version": str, "ray_commit": str},
    ),
    Sign(
        "metadata-service",
        "a cloud's metadata service, which hands out this machine's credentials",
        ("metadata-aws",),
        ELSEWHERE,
        body=(r"(?m)^ami-id$", r"(?m)^instance-id$"),
    ),
    Sign(
        "metadata-service",
        "a cloud's metadata service, which hands out this machine's credentials",
        ("metadata-google",),
        ELSEWHERE,
        fields={"metadata-flavor": r"Google"},
    ),
    Sign(
        "metadata-service",
        "a cloud's metadata service, which hands out this machine's credentials",
        ("metadata-azure",),
        ELSEWHERE,
        body=(r'"apiVersions":\s*\["20\d\d-',),
        members={"apiVersions": list},
    ),
)

_LISTED: Final = "files-listed", "a directory with all its files listed", ("page",), BEARER

FILES: Final = (
    # python -m http.server, and the like
    Sign(*_LISTED, body=(_TITLE + r"Directory listing for /", r"<h1>Directory listing for /")),
    # npm's http-server, whose names come behind 100 KB of icons
    Sign(*_LISTED, body=(_TITLE + r"Index of /", r'<style type="text/css">i\.icon \{ display')),
    # Caddy, rclone
    Sign(*_LISTED, body=(r'<div class="meta">\s*<div id="summary">', r'<tr class="file">')),
    # nginx, Apache, lighttpd
    Sign(*_LISTED, body=(_TITLE + r"Index of /", r"<h[12]>Index of /", r'<a href="')),
    # npm's serve
    Sign(*_LISTED, body=(_TITLE + r"Files within ", r'<ul id="files"')),
    # Go's http.FileServer
    Sign(
        *_LISTED,
        body=(
            r'\A(?:<!doctype html>\n<meta [^>]+>\n)?<pre>\n(?:<a href="[^"]+">[^<]+</a>\n)+</pre>',
        ),
    ),
)

AGENTS_OWN: Final = (
    Sign(
        "agent-ollama",
        "an Ollama, whose models anybody could run and remove",
        ("page",),
        AGENTS,
        body=(r"\AOllama is running\s*\Z",),
    ),
    Sign(
        "agent-lm-studio",
        "an LM Studio, whose models anybody could run",
        ("lm-studio",),
        AGENTS,
        body=(r'"compatibility_type"', r'"max_context_length"'),
        members={"data": list},
    ),
    Sign(
        "agent-comfyui",
        "a ComfyUI, which runs what its workflows say",
        ("comfyui",),
        BROWSER,
        body=(r'"comfyui_version"',),
        members={"system": dict, "devices": list},
    ),
    Sign(
        "agent-gateway",
        "an agent's own control page (OpenClaw)",
        ("page",),
        BROWSER,
        body=(_TITLE + r"(?:OpenClaw|Clawdbot|Moltbot) Control</title>",),
    ),
    Sign(
        "agent-mcp-inspector",
        "the MCP Inspector, which starts programs on this machine",
        ("mcp-inspector",),
        BROWSER,
        members={"defaultEnvironment": dict, "sandboxUrl": str},
    ),
    Sign(
        "agent-mcp-inspector",
        "the MCP Inspector, which starts programs on this machine",
        ("mcp-proxy",),
        BROWSER,
        members={"defaultEnvironment": dict, "defaultCommand": str, "defaultArgs": str},
    ),
)

OURS: Final = (
    Sign(
        "underpass-control",
        "a control socket of underpass, by which tunnels are opened and closed",
        ("ours",),
        ELSEWHERE,
        body=(r'"schema":\s*"underpass/v1/',),
        members={"schema": str},
    ),
    Sign(
        "underpass-metrics",
        "the metrics of an underpass relay, which name its tunnels",
        ("ours-metrics",),
        BEARER,
        body=(r"(?m)^underpass_(?:relay|tunnel)_[a-z_]+[ {]",),
    ),
)

MONGODB_ON_HTTP: Final = b"It looks like you are trying to access MongoDB over HTTP"
"""What MongoDB says to a GET, whether it asks for passwords or not."""

WEB_SIGNS: Final = (
    *SHELLS,
    *NOTEBOOKS,
    *DEBUGGERS,
    *DATABASES,
    *MACHINES,
    *FILES,
    *AGENTS_OWN,
    *OURS,
)
