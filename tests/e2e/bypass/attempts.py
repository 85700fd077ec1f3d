"""What people try who have no credential: hundreds of requests, by the trick.

``HOST`` stands for the tunnel's own authority. None of these may reach an origin.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from typing import Final

ADDRESSES: Final = (
    *(b"127.0.0.1", b"::1", b"localhost", b"0.0.0.0", b"203.0.113.7", b"10.0.0.1", b"127.1"),
    *(b"2130706433", b"0x7f000001", b"0177.0.0.1", b"::ffff:127.0.0.1", b"[::1]", b"127.0.0.1:80"),
    *(b"203.0.113.7, 127.0.0.1", b"127.0.0.1, 203.0.113.7", b"::ffff:203.0.113.7", b"unknown"),
    *(b"for=203.0.113.7", b'for="[::1]"', b"203.0.113.007", b"3405803783", b"203.0.113.7%00"),
)

ADDRESS_FIELDS: Final = (
    *(b"X-Forwarded-For", b"X-Real-IP", b"Forwarded", b"X-Client-IP", b"True-Client-IP"),
    *(b"CF-Connecting-IP", b"X-Cluster-Client-IP", b"Fastly-Client-IP", b"X-Originating-IP"),
    *(
        b"X-Remote-IP",
        b"X-Remote-Addr",
        b"Client-IP",
        b"Via",
        b"X-ProxyUser-Ip",
        b"X_Forwarded_For",
    ),
    *(b"X-Forwarded_For", b"x-forwarded-for", b"X_Real_IP", b"Remote-Addr", b"X-Azure-ClientIP"),
)

IDENTITY_FIELDS: Final = (
    *(b"X-Forwarded-User: admin", b"X-Remote-User: root", b"Remote-User: root", b"X-User: admin"),
    *(b"Tailscale-User-Login: admin@example.com", b"X-Forwarded-Email: a@example.com"),
    *(b"Cf-Access-Authenticated-User-Email: a@b", b"Cf-Access-Jwt-Assertion: e30.e30."),
    *(b"X-Auth-Request-User: admin", b"X-Authenticated-User: admin", b"X-WEBAUTH-USER: admin"),
    *(
        b"X-Amzn-Oidc-Identity: admin",
        b"X-Goog-Authenticated-User-Email: a@b",
        b"X-MS-CLIENT-PRINCIPAL: e30=",
    ),
    *(
        b"Underpass-Gate: passed",
        b"Underpass-Proof: v1.AAAA",
        b"Underpass-Token: ",
        b"Underpass-Peer: owner",
    ),
    *(
        b"Underpass_Token: x",
        b"Underpass-Replay: 1",
        b"Underpass-Client-Cert: x",
        b"X-SSL-Client-Verify: SUCCESS",
    ),
    *(
        b"X-Client-Cert: x",
        b"X-SSL-Client-S-DN: CN=admin",
        b"Client-Cert: :AAAA:",
        b"X-API-Key: admin",
    ),
)

AGENTS: Final = (
    *(
        b"kube-probe/1.30",
        b"ELB-HealthChecker/2.0",
        b"GoogleHC/1.0",
        b"curl/8.0",
        b"",
        b"underpass-prover",
    ),
    *(
        b"UptimeRobot/2.0",
        b"GitHub-Hookshot/1",
        b"Stripe/1.0",
        b"Slackbot 1.0",
        b"Mozilla/5.0",
        b"claude-user",
    ),
)

AUTHORIZATIONS: Final = (
    *(
        b"Bearer",
        b"Bearer ",
        b"Bearer null",
        b"Bearer undefined",
        b"Bearer true",
        b"Bearer up_",
        b"Bearer x",
    ),
    *(
        b"Bearer " + b"A" * 43,
        b"Bearer up_" + b"A" * 43,
        b"bearer *",
        b"Basic",
        b"Basic =",
        b"Basic Og==",
    ),
    *(
        b"Basic " + b64encode(pair)
        for pair in (b":", b"underpass:", b"underpass:underpass", b"admin:admin")
    ),
    *(
        b"Digest username=a",
        b"Negotiate YII=",
        b"Token x",
        b"ApiKey x",
        b"Bearer eyJhbGciOiJub25lIn0.e30.",
    ),
    *(
        b"Bearer e30.e30.",
        b"Bearer ..",
        b"DPoP x",
        b"AWS4-HMAC-SHA256 Credential=x",
        b"Bearer Bearer x",
    ),
)

PATHS: Final = (
    *(
        b"/healthz",
        b"/health",
        b"/ready",
        b"/livez",
        b"/ping",
        b"/status",
        b"/metrics",
        b"/robots.txt",
    ),
    *(b"/favicon.ico", b"/.well-known/acme-challenge/x", b"/.well-known/openid-configuration"),
    *(
        b"/.well-known/oauth-protected-resource/../../admin",
        b"/login",
        b"/static/app.js",
        b"/public/",
    ),
    *(b"/./", b"/../", b"/..;/", b"/%2e%2e/", b"/%2e/", b"//", b"///", b"/;", b"/;/admin", b"/.;/"),
    *(b"/%2f", b"/%5c", b"/\\", b"/admin%00", b"/admin%20", b"/admin%0a", b"/admin?", b"/admin??"),
    *(
        b"/admin#",
        b"/ADMIN",
        b"/admin/",
        b"/admin/.",
        b"/admin//",
        b"/%61dmin",
        b"/admin%2f..%2fhealthz",
    ),
    *(
        b"/healthz/../admin",
        b"/healthz/..;/admin",
        b"/healthz%2f..%2fadmin",
        b"/healthz/%2e%2e/admin",
    ),
    *(
        b"/healthz;/../admin",
        b"/healthz\\..\\admin",
        b"/healthz//admin",
        b"/healthz%00/admin",
        b"/HEALTHZ",
    ),
    *(
        b"/healthz%20",
        b"/healthz%09",
        b"/healthz.",
        b"/healthz;a=b",
        b"/healthz%3f",
        b"/healthz%23",
    ),
    *(b"/he%61lthz", b"/healthz%2f", b"/./healthz", b"/x/../healthz", b"//healthz", b"/%2fhealthz"),
    *(b"/?token=x", b"/?access_token=x", b"/?auth=true", b"/?admin=1", b"/?debug=1", b"/@HOST/"),
    *(
        b"http://127.0.0.1/",
        b"http://HOST/",
        b"https://HOST/",
        b"http://HOST@evil/",
        b"//HOST/",
        b"*",
    ),
    *(
        b"/hooks/../admin",
        b"/mcp/../admin",
        b"/mcp%2f",
        b"/MCP",
        b"/mcp;x",
        b"/mcp/",
        b"/mcp?x",
        b"/mcp%00",
    ),
)

METHODS: Final = (
    *(
        b"GET",
        b"HEAD",
        b"POST",
        b"PUT",
        b"DELETE",
        b"PATCH",
        b"OPTIONS",
        b"TRACE",
        b"CONNECT",
        b"PROPFIND",
    ),
    *(
        b"get",
        b"DEBUG",
        b"TRACK",
        b"PURGE",
        b"LINK",
        b"MOVE",
        b"M-SEARCH",
        b"BREW",
        b"SUBSCRIBE",
        b"QUERY",
    ),
)

HOSTS: Final = (
    *(
        b"localhost",
        b"127.0.0.1",
        b"internal",
        b"admin.HOST",
        b"HOST, localhost",
        b"HOST:80",
        b"[::1]",
        b"",
    ),
    *(
        b"localhost:80",
        b"0.0.0.0",
        b"HOST.",
        b"HOST@localhost",
        b"localhost#HOST",
        b"localhost/HOST",
    ),
)

PAIRS: Final = (
    *(b"X-Original-URL: /healthz", b"X-Rewrite-URL: /healthz", b"X-Forwarded-Prefix: /healthz"),
    *(
        b"X-HTTP-Method-Override: OPTIONS",
        b"X-Method-Override: HEAD",
        b"X-Forwarded-Host: localhost",
    ),
    *(b"X-Forwarded-Proto: https", b"X-Forwarded-Port: 443", b"X-Forwarded-Server: localhost"),
    *(
        b"X-Host: localhost",
        b"X-Forwarded-Scheme: https",
        b"Front-End-Https: on",
        b"X-Proxy-URL: /",
    ),
    *(
        b"Referer: http://HOST/",
        b"Origin: http://HOST",
        b"Origin: null",
        b"Origin: http://localhost",
    ),
    *(b"Cookie: session=admin", b"Cookie: token=x; underpass=1", b"Sec-Fetch-Site: same-origin"),
    *(b"Access-Control-Request-Method: GET", b"Connection: Authorization", b"Connection: Host"),
    *(
        b"Connection: Underpass-Token",
        b"Proxy-Authorization: Bearer x",
        b"Proxy-Connection: keep-alive",
    ),
    *(
        b"Upgrade: websocket\r\nConnection: Upgrade",
        b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings",
    ),
    *(
        b"Expect: 100-continue",
        b"TE: trailers",
        b"Content-Length: 0",
        b"Transfer-Encoding: chunked",
    ),
    *(
        b"webhook-id: 1\r\nwebhook-timestamp: 1\r\nwebhook-signature: v1,AAAA",
        b"X-Slack-Signature: v0=a",
    ),
    *(
        b"X-Hub-Signature-256: sha256=" + b"0" * 64,
        b"Stripe-Signature: t=1,v1=aa",
        b"X-Hub-Signature: sha1=a",
    ),
    *(
        b"Mcp-Session-Id: 1",
        b"MCP-Protocol-Version: 2025-11-25",
        b"Last-Event-ID: 1",
        b"X-Forwarded-By: us",
    ),
)


def attempts() -> tuple[bytes, ...]:
    """Every one, once, in a fixed order."""
    return tuple(dict.fromkeys(_all()))


def request(
    method: bytes = b"GET", target: bytes = b"/", host: bytes = b"HOST", *fields: bytes
) -> bytes:
    """A whole request that asks for the connection's end."""
    lines = [method + b" " + target + b" HTTP/1.1", b"Host: " + host, b"Connection: close", *fields]
    return b"\r\n".join([*lines, b"", b""])


def _all() -> Iterator[bytes]:
    for name in ADDRESS_FIELDS:
        for address in ADDRESSES:
            yield request(b"GET", b"/", b"HOST", name + b": " + address)
    for field in (*IDENTITY_FIELDS, *PAIRS):
        yield request(b"GET", b"/", b"HOST", field)
        yield request(b"POST", b"/", b"HOST", field, b"Content-Length: 0")
        yield request(b"OPTIONS", b"/", b"HOST", field)
    for agent in AGENTS:
        yield request(b"GET", b"/", b"HOST", b"User-Agent: " + agent)
        yield request(b"GET", b"/admin", b"HOST", b"User-Agent: " + agent, b"X-Forwarded-For: ::1")
    for value in AUTHORIZATIONS:
        yield request(b"GET", b"/", b"HOST", b"Authorization: " + value)
        yield request(b"GET", b"/", b"HOST", b"authorization: " + value, b"Authorization: " + value)
        yield request(b"GET", b"/", b"HOST", b"Underpass-Token: " + value)
    for path in PATHS:
        yield request(b"GET", path)
        yield request(b"POST", path, b"HOST", b"Content-Length: 0")
    for method in METHODS:
        yield request(method)
        yield request(method, b"/admin", b"HOST", b"X-HTTP-Method-Override: GET")
    for host in HOSTS:
        yield request(b"GET", b"/", host)
        yield request(b"GET", b"/", b"HOST", b"Host: " + host)
    for version in (b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b""):
        yield b"GET / " + version + b"\r\nHost: HOST\r\n\r\n"
