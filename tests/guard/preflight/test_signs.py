"""Every sign is shown by an answer as its program gives it, and by no answer that is nearly one.

Programs that packages bring run for real in ``tests/e2e/preflight``; the answers here are those of
programs that no package brings, cut to what tells; ``test_recorded`` has those of programs that
are too heavy to run.
"""

from __future__ import annotations

import pytest
from tests.e2e.preflight.corpus import DANGEROUS
from tests.guard.preflight.test_recorded import RECORDED

from underpass.guard.preflight.asks import FOLLOWING, WEB
from underpass.guard.preflight.findings import Finding
from underpass.guard.preflight.seen import Seen
from underpass.guard.preflight.signs import judge
from underpass.guard.preflight.table import WEB_SIGNS
from underpass.http.messages import Headers

pytestmark = pytest.mark.pure

TTYD = [(b"server", b"ttyd/1.7.7 (libwebsockets 4.3.3)")]

ANSWERS: list[tuple[str, str, Headers, bytes]] = [
    ("shell-ttyd", "page", TTYD, b"<!DOCTYPE html><html><head><title>ttyd - Terminal</title>"),
    ("shell-gotty", "gotty-config", [], b"var gotty_auth_token = '';"),
    (
        "shell-wetty",
        "wetty",
        [],
        b"<!doctype html><html><head><title>WeTTY - The Web Terminal Emulator</title></head><body>"
        b'<div id="overlay"></div><div id="options"></div><div id="terminal"></div>',
    ),
    (
        "notebook-code-server",
        "page",
        [],
        b'<html><head><meta id="vscode-workbench-web-configuration" data-settings="{}">',
    ),
    (
        "debugger-actuator",
        "actuator",
        [],
        b'{"_links":{"self":{"href":"http://localhost/actuator","templated":false},'
        b'"heapdump":{"href":"http://localhost/actuator/heapdump","templated":false}}}',
    ),
    (
        "debugger-django",
        "page",
        [],
        b'<p>You are seeing this page because you have <a href="https://docs.djangoproject.com/en/'
        b'5.2/ref/settings/#debug" target="_blank" rel="noopener">DEBUG=True</a> in\n your settings'
        b" file and you have not configured any URLs.</p>",
    ),
    (
        "database-elasticsearch",
        "page",
        [],
        b'{"name":"n","cluster_name":"docker-cluster","cluster_uuid":"x","version":{"number":'
        b'"8.15.0"},"tagline":"You Know, for Search"}',
    ),
    (
        "database-elasticsearch",
        "page",
        [],
        b'{"name":"n","cluster_name":"c","cluster_uuid":"x","version":{"distribution":"opensearch"},'
        b'"tagline":"The OpenSearch Project: https://opensearch.org/"}',
    ),
    (
        "database-couchdb",
        "couchdb",
        [(b"Server", b"CouchDB/3.3.3 (Erlang OTP/24)")],
        b'["_replicator","_users"]\n',
    ),
    (
        "admin-phpmyadmin",
        "phpmyadmin",
        [],
        b'<input type="text" name="pma_username" id="input_username" value="" size="24">',
    ),
    (
        "admin-redis-commander",
        "page",
        [],
        b'<title>Redis Commander: Home</title><div id="keyTree"></div>',
    ),
    (
        "machine-kubernetes",
        "kubernetes",
        [],
        b'{"kind":"NamespaceList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}',
    ),
    ("machine-kubelet", "kubelet", [], b'{"kind":"PodList","apiVersion":"v1","items":null}'),
    ("metadata-service", "metadata-aws", [], b"ami-id\nami-launch-index\nhostname\ninstance-id\n"),
    ("metadata-service", "metadata-google", [(b"Metadata-Flavor", b"Google")], b"attributes/\n"),
    ("metadata-service", "metadata-azure", [], b'{"apiVersions":["2017-03-01","2021-02-01"]}'),
    ("files-listed", "page", [], b'<title>Files within srv/</title><ul id="files"></ul>'),
    ("agent-ollama", "page", [], b"Ollama is running"),
    (
        "agent-lm-studio",
        "lm-studio",
        [],
        b'{"object":"list","data":[{"id":"m","object":"model","type":"llm","compatibility_type":'
        b'"gguf","state":"not-loaded","max_context_length":4096}]}',
    ),
    (
        "agent-comfyui",
        "comfyui",
        [],
        b'{"system":{"os":"posix","comfyui_version":"0.3.10"},"devices":[{"name":"cpu"}]}',
    ),
    ("agent-gateway", "page", [], b"<!doctype html><title>OpenClaw Control</title>"),
    (
        "agent-mcp-inspector",
        "mcp-inspector",
        [],
        b'{"defaultEnvironment":{"HOME":"/root"},"sandboxUrl":"http://127.0.0.1:6277/sandbox"}',
    ),
    (
        "agent-mcp-inspector",
        "mcp-proxy",
        [],
        b'{"defaultEnvironment":{"HOME":"/root"},"defaultCommand":"","defaultArgs":""}',
    ),
    ("underpass-control", "ours", [], b'{"schema":"underpass/v1/list","tunnels":[]}'),
    ("underpass-metrics", "ours-metrics", [], b"# HELP x\nunderpass_relay_tunnels 1.0\n"),
]


def found(name: str, headers: Headers, body: bytes, status: int = 200) -> tuple[Finding, ...]:
    return judge([Seen(name, f"GET {name}", status, headers, body)], WEB_SIGNS)


@pytest.mark.parametrize(("code", "name", "headers", "body"), ANSWERS)
def test_an_answer_as_the_program_gives_it_is_found(
    code: str, name: str, headers: Headers, body: bytes
):
    (finding,) = found(name, headers, body)
    assert (finding.code, finding.where) == (code, f"GET {name}")
    assert finding.seen.startswith("status 200; ")


@pytest.mark.parametrize(("code", "name", "headers", "body"), ANSWERS)
def test_the_same_is_nothing_when_it_is_refused_or_elsewhere(
    code: str, name: str, headers: Headers, body: bytes
):
    assert found(name, headers, b"sign in first", 401) == ()
    assert found(name, headers, body, 403) == ()
    assert found("some-other-question", headers, body) == ()


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("page", b"<title>How I set up ttyd</title> Server: ttyd/1.7.7"),
        ("page", b"<title>Ollama is running on my laptop</title>Ollama is running"),
        ("page", b'{"tagline":"You Know, for Search"}'),
        ("page", b"<p>you have <code>DEBUG = True</code> in</p>"),
        ("page", b"<title>Index of economic freedom</title><h1>Index</h1>"),
        ("page", b'<title>MCP Inspector</title><div id="root">'),
        ("page", b"<title>About the MCP Inspector</title><div id=root>"),
        ("jupyter", b'{"default":"python3"}'),
        ("page", b'<marimo-version data-version="0.25.2" hidden>{"mode": "read"}'),
        ("page", b'<title>About marimo</title> "mode": "edit"'),
        ("node-red", b'{"httpNodeRoot":"/","version":"4"}'),
        ("ray", b'{"version":"1.22.0"}'),
        ("chroma", b'{"tenant":"t","databases":"none"}'),
        ("page", b'<title>Index of /home</title><style type="text/css">i { display: none }'),
        ("page", b'<div class="meta"><div id="summary">three files</div></div>'),
        ("jupyter", b'{"message":"Forbidden","reason":null}'),
        ("version", b'{"ApiVersion":"1.41","MinAPIVersion":"1.12","Components":[]}'),
        ("version", b'{"version":"1.2.3"}'),
        ("couchdb", b'["a","list"]'),
        ("devtools", b'[{"webSocketDebuggerUrl":""}]'),
        ("kubelet", b"PodList"),
        ("kubernetes", b'{"kind":"Status","status":"Failure","code":403}'),
        ("actuator", b'{"_links":{"health":{"href":"http://localhost/actuator/health"}}}'),
        ("metadata-aws", b"ami-id"),
        ("ours-metrics", b"my_underpass_relay_x 1\n"),
        ("mcp-proxy", b'{"defaultEnvironment":"production"}'),
    ],
)
def test_what_is_nearly_a_sign_is_none(name: str, body: bytes):
    assert found(name, [], body) == ()


def test_every_sign_is_shown_by_an_answer_here_or_by_a_program_of_the_corpus():
    shown = {code for code, *_ in ANSWERS}
    shown |= {code for program in DANGEROUS for code in program.finds}
    shown |= {code for program in RECORDED for code in program["finds"]}
    assert {sign.code for sign in WEB_SIGNS} <= shown


def test_every_sign_looks_at_a_question_that_is_asked():
    asked = {ask.name for ask in WEB} | {each.ask.name for each in FOLLOWING}
    assert {name for sign in WEB_SIGNS for name in sign.asks} <= asked


def test_each_code_is_told_once_by_the_first_question_that_shows_it():
    page = b"var CONSOLE_MODE = true, EVALEX_TRUSTED = false, SECRET = 'abcdefghijkl';"
    script = b"if (CONSOLE_MODE && EVALEX) {} EVALEX_TRUSTED"
    answers = [
        Seen("werkzeug-console", "GET /console", 200, [], page),
        Seen("werkzeug", "GET /?script", 200, [], script),
    ]
    (finding,) = judge(answers, WEB_SIGNS)
    assert finding.where == "GET /?script"
    (alone,) = judge(answers[:1], WEB_SIGNS)
    assert "abcdefghijkl" not in alone.seen


def test_all_that_is_asked_without_a_condition_is_a_get_with_a_reason():
    for ask in WEB:
        assert (ask.method, ask.body) == ("GET", b"")
        assert ask.harmless
