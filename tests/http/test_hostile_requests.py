"""Requests that two parsers might read in two ways, and what the reader says to each.

Families are generated: one rule, every spelling. Each request is fed whole, byte by byte and split
in two at every point; the verdict must not depend on it.
"""

from __future__ import annotations

import re

import pytest

from underpass.http.reader import (
    EndOfMessage,
    Malformed,
    RequestEvent,
    RequestHead,
    RequestReader,
)

Verdict = int | tuple[tuple[bytes, bytes, bytes], ...]
"""The status of the refusal, or method, target and body of each request that is accepted."""

CASES: dict[str, tuple[bytes, Verdict]] = {}


def case(name: str, raw: bytes, verdict: Verdict) -> None:
    assert name not in CASES, name
    CASES[name] = (raw, verdict)


def get(target: bytes = b"/", *lines: bytes, host: bytes | None = b"a.test") -> bytes:
    hosts = [] if host is None else [b"Host: " + host]
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", *hosts, *lines, b"", b""])


def post(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"POST /p HTTP/1.1", b"Host: a.test", *lines, b"", body])


def one(body: bytes = b"") -> Verdict:
    return ((b"POST", b"/p", body),)


CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
SMUGGLED = b"0\r\n\r\nGET /admin HTTP/1.1\r\nHost: a.test\r\n\r\n"

# Transfer-Encoding: exactly "chunked", exactly once, alone, in HTTP/1.1.
for index, coding in enumerate(
    [b"chunked", b"CHUNKED", b"Chunked", b"\tchunked", b"chunked  ", b"   chunked "]
):
    case(f"te-fine-{index}", post(b"Transfer-Encoding: " + coding, body=CHUNKS), one(b"hello"))
for index, coding in enumerate(
    [
        b"gzip, chunked",
        b"chunked, gzip",
        b"chunked, chunked",
        b"chunked, identity",
        b"identity, chunked",
        b"identity",
        b"gzip",
        b"xchunked",
        b"chunkedx",
        b"chunked;q=1",
        b'"chunked"',
        b"'chunked'",
        b"chunk",
        b"chunked,",
        b",chunked",
        b"chunked, ",
        b"ch unked",
        b"chunked chunked",
        b"deflate;chunked",
        b"trailers, chunked",
        b"",
        b"cow",
        b"chunked\t",  # white space by the grammar, but llhttp and we take no chances
        b"chunked\xa0",
        b"\xa0chunked",
        b"\xc2\xa0chunked",
        b"chun\xc2\xadked",
        b"chun\xe2\x84\xaaed",  # U+212A KELVIN SIGN, lower-cased by some to "k"
    ]
):
    for twin, extra in (("alone", []), ("with-length", [b"Content-Length: 6"])):
        raw = post(*extra, b"Transfer-Encoding: " + coding, body=SMUGGLED)
        case(f"te-odd-{index}-{twin}", raw, 400 if extra else -1)
for index, coding in enumerate(
    [b"\x0bchunked", b"chunked\x0c", b"\x00chunked", b"chunked\x00", b"\x1fchunked", b"\x7fchunked"]
):
    case(f"te-control-{index}", post(b"Transfer-Encoding: " + coding, body=CHUNKS), 400)
for index, (first, second) in enumerate(
    [
        (b"Content-Length: 6", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Content-Length: 6"),
        (b"Content-Length: 0", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
        (b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"),
        (b"transfer-encoding: chunked", b"Transfer-Encoding: cow"),
        (b"Transfer-Encoding: chunked", b"transfer_encoding: x"),
        (b"Transfer-Encoding: chunked", b"Content_Length: 5"),
        (b"Content-Length: 5", b"Transfer_Encoding: chunked"),
        (b"CONTENT-LENGTH: 6", b"TRANSFER-ENCODING: CHUNKED"),
    ]
):
    case(f"both-{index}", post(first, second, body=SMUGGLED), 400)
for index, line in enumerate(
    [
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding\t: chunked",
        b" Transfer-Encoding: chunked",
        b"\tTransfer-Encoding: chunked",
        b"X: y\r\n Transfer-Encoding: chunked",
        b"X: y\r\n\tTransfer-Encoding: chunked",
        b"X: y\nTransfer-Encoding: chunked",
        b"X: y\rTransfer-Encoding: chunked",
        b"X: y\r\rTransfer-Encoding: chunked",
        b"X: y\n\rTransfer-Encoding: chunked",
        b"X: y\x00\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding:\r\n chunked",
        b"Transfer-Encoding: \r\n\tchunked",
        b"Transfer-Encoding:\n chunked",
        b"Transfer-Encoding chunked",
        b"Transfer-Encoding",
        b"Transfer-Encoding\r\n: chunked",
        b": chunked",
        b":",
        b"\x00Transfer-Encoding: chunked",
        b"Transfer\x00Encoding: chunked",
        b"Transfer Encoding: chunked",
        b"Transfer-Encoding\xa0: chunked",
        b"Transfer\xadEncoding: chunked",
        b"Transfer-Encoding\x0b: chunked",
        b'"Transfer-Encoding": chunked',
        b"(Transfer-Encoding): chunked",
        b"Transfer-Encoding;: chunked",
        b"Transfer/Encoding: chunked",
        b"[Transfer-Encoding]: chunked",
    ]
):
    case(f"te-line-{index}", post(b"Content-Length: 6", line, body=SMUGGLED), 400)

# Content-Length: one plain decimal number, once.
for index, (length, body) in enumerate(
    [
        (b"5", b"hello"),
        (b" 5", b"hello"),
        (b"5 ", b"hello"),
        (b"5\t", b"hello"),
        (b"0", b""),
        (b"11", b"hello world"),
    ]
):
    case(f"cl-fine-{index}", post(b"Content-Length: " + length, body=body), one(body))
for index, length in enumerate(
    [
        b"",
        b" ",
        b"+5",
        b"-5",
        b"-0",
        b"+0",
        b"5,5",
        b"5, 5",
        b"5 5",
        b"5,",
        b",5",
        b"0x5",
        b"5h",
        b"h5",
        b"5.0",
        b"5e0",
        b"5_0",
        b"1_1",
        b"05",
        b"00",
        b"005",
        b"'5'",
        b'"5"',
        b"5;",
        b"5;q=1",
        b"\xd9\xa5",  # ARABIC-INDIC DIGIT FIVE: int() in Python takes it
        b"\xb2",
        b"18446744073709551621",  # 5 modulo 2**64
        b"4294967301",  # 5 modulo 2**32: a fine number, but the body is cut off
        b"9999999999999999999",
        b"9" * 400,
        b"Infinity",
        b"NaN",
        b"\x0b5",
        b"5\x00",
        b"\x005",
        b"(5)",
        b"5#",
        b"%35",
    ]
):
    raw = post(b"Content-Length: " + length, body=b"hello" + get(b"/smuggled"))
    case(f"cl-odd-{index}", raw, 400)
for index, (first, second) in enumerate(
    [
        (b"5", b"5"),
        (b"5", b"6"),
        (b"0", b"5"),
        (b"5", b"0"),
        (b"5", b""),
        (b"", b"5"),
        (b"5", b"+5"),
    ]
):
    for style, name in (
        ("same", b"Content-Length"),
        ("lower", b"content-length"),
        ("odd", b"cOnTeNt-LeNgTh"),
    ):
        raw = post(b"Content-Length: " + first, name + b": " + second, body=b"hello")
        case(f"cl-twice-{index}-{style}", raw, 400)

# Host: one, and a host.
for index, host in enumerate(
    [
        b"a.test",
        b"A.TEST",
        b"a.test:80",
        b"a.test:65535",
        b"127.0.0.1:8800",
        b"localhost",
        b"name.localhost:1",
        b"[::1]",
        b"[::1]:8080",
        b"[2001:db8::1]:443",
        b"a_b.test",
        b"a.test.",
        b"x",
        b"xn--bcher-kva.test",
    ]
):
    case(f"host-fine-{index}", get(host=host), ((b"GET", b"/", b""),))
for index, host in enumerate(
    [
        b"",
        b" ",
        b"a.test b.test",
        b"a.test,b.test",
        b"a.test, b.test",
        b"user@a.test",
        b"user:pw@a.test",
        b"@a.test",
        b"a.test@",
        b"a.test/",
        b"a.test/x",
        b"http://a.test",
        b"//a.test",
        b"a.test:",
        b"a.test:x",
        b"a.test:80:80",
        b"a.test:-1",
        b"a.test:123456",
        b":80",
        b"::1",
        b"[::1",
        b"::1]",
        b"[]",
        b"[::1]x",
        b"[::1%25eth0]",
        b"[v1.x]",
        b"a%2etest",
        b"a.test%00",
        b"a.test#",
        b"a.test?x",
        b"a.test\\b",
        b"a\xc3\xa9.test",
        b"a.test\x7f",
        b"-a.test-",
        b"a.test;",
        b"a*b.test",
        b"<a.test>",
        b"a" * 300,
        b"'a.test'",
        b'"a.test"',
    ]
):
    case(f"host-odd-{index}", get(host=host), 400)
case("host-missing", get(host=None), 400)
case("host-missing-1.0", b"GET / HTTP/1.0\r\n\r\n", 400)
for index, second in enumerate(
    [b"Host: a.test", b"Host: b.test", b"host: a.test", b"HOST: b.test", b"Host:", b"hOsT: b.test"]
):
    case(f"host-twice-{index}", get(b"/", second), 400)
    case(f"host-twice-first-{index}", get(b"/", b"X: y", second, b"Host: c.test", host=None), 400)
for index, line in enumerate(
    [b"Host : b.test", b" Host: b.test", b"Host\t: b.test", b"Host\x00: b.test"]
):
    case(f"host-line-{index}", get(b"/", line), 400)

# Targets: origin-form, and nothing an HTTP client could resolve elsewhere.
for index, target in enumerate(
    [
        b"/",
        b"/a/b?c=d&e=f",
        b"/a//b",
        b"/a/../b",
        b"/@vite/client",
        b"/a@b",
        b"/a:b",
        b"/%2f%2fevil",
        b"/%5cevil",
        b"/%00",
        b"/a;b=c",
        b"/?",
        b"/??",
        b"/?x=http://b.test/",
        b"/?x=//b.test",
        b"/?x=a\\b",
        b'/?{}|^`"<>',
        b"/{id}",
        b"/a|b^c`d",
        b"/.well-known/oauth-protected-resource/mcp",
        b"/~user",
        b"/*",
        b"/a/" + b"x" * 8000,
    ]
):
    case(f"target-fine-{index}", get(target), ((b"GET", target, b""),))
for index, target in enumerate(
    [
        b"http://169.254.169.254/",
        b"http://169.254.169.254/latest/meta-data/",
        b"http://a.test/",
        b"HTTP://a.test/",
        b"https://a.test/",
        b"http://127.0.0.1:8800/",
        b"http://[::1]/",
        b"http:/a",
        b"http:a",
        b"http:",
        b"http://",
        b"ftp://a.test/",
        b"file:///etc/passwd",
        b"gopher://a.test/_",
        b"unix:/run/x.sock",
        b"javascript:alert(1)",
        b"//b.test",
        b"//b.test/x",
        b"///b.test",
        b"//",
        b"////",
        b"/\\b.test",
        b"/\\/b.test",
        b"\\\\b.test",
        b"\\/b.test",
        b"\\",
        b"/a\\b",
        b"/a\\..\\b",
        b"@b.test",
        b"@b.test/",
        b"user@b.test/",
        b":80/",
        b":@b.test/",
        b".b.test/",
        b"..",
        b"../x",
        b"./x",
        b"a",
        b"a/b",
        b"a.test:80",
        b"a.test/",
        b"localhost:22",
        b"127.0.0.1",
        b"?x",
        b"#x",
        b"/#x",
        b"/a#b",
        b"/?a#b",
        b"*",
        b"**",
        b"*/",
        b"/ x",
        b"/\tx",
        b"/\x0bx",
        b"/\x0cx",
        b"/\x00",
        b"/\x01",
        b"/\x7f",
        b"/\x80",
        b"/\xa0",
        b"/\xff",
        b"/\xc3\xa9",
        b"/?\xc3\xa9",
        b"/?\x00",
        b"/?\x7f",
        b"%2f",
        b"%2f%2fb.test",
        b"&",
        b";/",
        b"",
        b"/ HTTP/1.1 ",
        b"/ /",
        b" /",
        b"/ ",
    ]
):
    case(f"target-odd-{index}", get(target), 400)
for index, target in enumerate(
    [b"a.test:443", b"a.test:80", b"/", b"*", b"127.0.0.1:22", b"[::1]:22", b"a.test"]
):
    raw = b"CONNECT %b HTTP/1.1\r\nHost: a.test\r\n\r\n" % target
    case(f"connect-{index}", raw, 501)
case("asterisk-options", b"OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n", ((b"OPTIONS", b"*", b""),))
for method in (b"GET", b"POST", b"HEAD", b"DELETE", b"TRACE"):
    raw = method + b" * HTTP/1.1\r\nHost: a.test\r\n\r\n"
    case(f"asterisk-{method.decode()}", raw, 400)
case("target-17k", get(b"/" + b"x" * 17_000), 414)
case("target-100k", get(b"/" + b"x" * 100_000), 414)
case("target-16k", get(b"/" + b"x" * 16_383), ((b"GET", b"/" + b"x" * 16_383, b""),))

# The request line: three words, one space between, a version we speak.
for index, (line, status) in enumerate(
    [
        (b"GET  / HTTP/1.1", 400),
        (b"GET /  HTTP/1.1", 400),
        (b"GET\t/ HTTP/1.1", 400),
        (b"GET /\tHTTP/1.1", 400),
        (b" GET / HTTP/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b"GET / HTTP/1.1\t", 505),
        (b"GET /", 400),
        (b"GET", 400),
        (b"GET ", 400),
        (b"GET / HTTP", 400),
        (b"GET / HTTP/", 505),
        (b"GET / http/1.1", 400),
        (b"GET / HTTP/1", 505),
        (b"GET / HTTP/1.", 505),
        (b"GET / HTTP/1.2", 505),
        (b"GET / HTTP/1.11", 505),
        (b"GET / HTTP/01.1", 505),
        (b"GET / HTTP/1.01", 505),
        (b"GET / HTTP/0.9", 505),
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/2", 505),
        (b"GET / HTTP/3.0", 505),
        (b"GET / HTTP/-1.1", 505),
        (b"GET / HTTP/1,1", 505),
        (b"GET / HTTPS/1.1", 400),
        (b"GET / RTSP/1.0", 400),
        (b"GET / ICE/1.0", 400),
        (b"GET / HTTP/1.1HTTP/1.1", 505),
        (b"GET / x HTTP/1.1", 400),
        (b"get / HTTP/1.1", 400),
        (b"Get / HTTP/1.1", 400),
        (b"GET\x00 / HTTP/1.1", 400),
        (b"\x00GET / HTTP/1.1", 400),
        (b"G\xc3\x89T / HTTP/1.1", 400),
        (b"GET: / HTTP/1.1", 400),
        (b'"GET" / HTTP/1.1', 400),
        (b"GET,POST / HTTP/1.1", 400),
        (b"NOTAMETHOD / HTTP/1.1", 501),
        (b"A" * 64 + b" / HTTP/1.1", 400),
        (b"PRI * HTTP/2.0", 505),
        (b"\xef\xbb\xbfGET / HTTP/1.1", 400),
        (b"", 400),
    ]
):
    case(f"line-{index}", line + b"\r\nHost: a.test\r\n\r\n", status)
for method in (
    b"HEAD",
    b"POST",
    b"PUT",
    b"PATCH",
    b"DELETE",
    b"OPTIONS",
    b"TRACE",
    b"PROPFIND",
    b"REPORT",
    b"QUERY",
    b"M-SEARCH",
):
    raw = method + b" / HTTP/1.1\r\nHost: a.test\r\n\r\n"
    case(f"method-{method.decode()}", raw, ((method, b"/", b""),))

# Line ends: CRLF, wherever a line ends.
_whole = get(b"/", b"X: y", b"Z: w")
_ends = [match.start() for match in re.finditer(b"\r\n", _whole)]
for spelling in (b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r \n", b" \n", b"\x0b\r\n", b"\x00\r\n"):
    for nth, at in enumerate(_ends):
        raw = _whole[:at] + spelling + _whole[at + 2 :] + b"\r\n\r\n"
        case(f"line-end-{spelling.hex()}-{nth}", raw, 400)
case("all-bare-lf", _whole.replace(b"\r\n", b"\n"), 400)
case("all-bare-cr", _whole.replace(b"\r\n", b"\r"), 400)
case("blank-before", b"\r\n" + _whole, ((b"GET", b"/", b""),))
case("two-blanks-before", b"\r\n\r\n" + _whole, 400)
case("bare-lf-before", b"\n" + _whole, 400)
case("bare-cr-before", b"\r" + _whole, 400)
case("space-before", b" \r\n" + _whole, 400)
case("nul-before", b"\x00" + _whole, 400)
case("fold-first", b"GET / HTTP/1.1\r\n Host: a.test\r\n\r\n", 400)

# Control bytes, anywhere in a head.
for code in [*range(32), 127]:
    byte = bytes([code])
    if byte not in b"\t":
        case(f"control-{code}-in-value", get(b"/", b"X: a" + byte + b"b"), 400)
        case(f"control-{code}-first-in-value", get(b"/", b"X: " + byte + b"b"), 400)
    case(f"control-{code}-in-name", get(b"/", b"X" + byte + b"Y: a"), 400)
    case(f"control-{code}-in-target", get(b"/a" + byte + b"b"), 400)
for byte in (
    b"(",
    b")",
    b"<",
    b">",
    b"@",
    b",",
    b";",
    b"\\",
    b'"',
    b"/",
    b"[",
    b"]",
    b"?",
    b"=",
    b"{",
    b"}",
    b" ",
    b"\x80",
    b"\xff",
):
    case(f"name-{byte.hex()}", get(b"/", b"X" + byte + b"Y: a"), 400)
case("value-obs-text", get(b"/", b"X: caf\xc3\xa9 \xff"), ((b"GET", b"/", b""),))
case("value-tab", get(b"/", b"X: a\tb"), ((b"GET", b"/", b""),))
case("value-empty", get(b"/", b"X:"), ((b"GET", b"/", b""),))

# Twins: what CGI and WSGI cannot tell from a field that a guard or a proxy acts on.
for name in (
    b"X_Forwarded_For",
    b"X-Forwarded_For",
    b"X_Forwarded-For",
    b"x_forwarded_proto",
    b"X_Forwarded_Host",
    b"X_FORWARDED_USER",
    b"X_Real_IP",
    b"X_Real-Ip",
    b"X_Original_URL",
    b"X_Rewrite_URL",
    b"X_Client_IP",
    b"True_Client_IP",
    b"CF_Connecting_IP",
    b"Remote_User",
    b"REMOTE_ADDR",
    b"X_Remote_User",
    b"X_Auth_Request_User",
    b"Underpass_Token",
    b"Underpass_Proof",
    b"UNDERPASS_ERROR",
    b"Content_Length",
    b"Content_Type",
    b"Transfer_Encoding",
    b"Proxy_Authorization",
    b"Tailscale_User_Login",
    b"Keep_Alive",
    b"Http2_Settings",
    b"X_SSL_Client_CN",
    b"WWW_Authenticate",
):
    case(f"twin-{name.decode()}", get(b"/", name + b": 127.0.0.1"), 400)
for name in (b"X_Api_Key", b"my_header", b"_", b"X__Y"):
    case(f"underscore-fine-{name.decode()}", get(b"/", name + b": 1"), ((b"GET", b"/", b""),))

# Chunks: hexadecimal size, CRLF, data, CRLF; no extensions.
for index, (chunks, body) in enumerate(
    [
        (CHUNKS, b"hello"),
        (b"0\r\n\r\n", b""),
        (b"00\r\n\r\n", b""),
        (b"000000000000000\r\n\r\n", b""),
        (b"05\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"1\r\nh\r\n4\r\nello\r\n0\r\n\r\n", b"hello"),
        (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
        (b"5\r\nhello\r\n0\r\nX: y\r\n\r\n", b"hello"),
        (b"5\r\nhello\r\n0\r\nX:\r\nY: \tz \r\n\r\n", b"hello"),
    ]
):
    case(f"chunks-fine-{index}", post(b"Transfer-Encoding: chunked", body=chunks), one(body))
for index, chunks in enumerate(
    [
        b"5;ext=1\r\nhello\r\n0\r\n\r\n",
        b"5;\r\nhello\r\n0\r\n\r\n",
        b"5 ;a\r\nhello\r\n0\r\n\r\n",
        b'5; a="\r\n"\r\nhello\r\n0\r\n\r\n',
        b"0;ext\r\n\r\n",
        b"5;a\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"\t5\r\nhello\r\n0\r\n\r\n",
        b"5\t\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5h\r\nhello\r\n0\r\n\r\n",
        b"5_0\r\nhello\r\n0\r\n\r\n",
        b"5,\r\nhello\r\n0\r\n\r\n",
        b"5.\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b"\r\n5\r\nhello\r\n0\r\n\r\n",
        b"g\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\rhello\r\n0\r\n\r\n",
        b"5\r\r\nhello\r\n0\r\n\r\n",
        b"5\n\rhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"5\r\nhello\r\r\n0\r\n\r\n",
        b"5\r\nhello\n\r\n0\r\n\r\n",
        b"5\r\nhello\r\n\r\n0\r\n\r\n",
        b"4\r\nhello\r\n0\r\n\r\n",
        b"6\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\n\r\n",
        b"5\r\nhello\r\n0\r\n\n",
        b"5\r\nhello\r\n0\r\nX: y\n\r\n",
        b"5\r\nhello\r\n0\r\nX: y\r\n\n",
        b"5\r\nhello\r\n0\r\nX : y\r\n\r\n",
        b"5\r\nhello\r\n0\r\n X: y\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX\r\n\r\n",
        b"5\r\nhello\r\n0\r\n: y\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX: y\x00\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX: y\rz\r\n\r\n",
        b"5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n",
        b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"5\r\nhello\r\n0\r\nHost: b.test\r\n\r\n",
        b"5\r\nhello\r\n0\r\nGET /admin HTTP/1.1\r\n\r\n",
        b"10000000000000005\r\nhello\r\n0\r\n\r\n",
        b"FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        b"0000000000000005\r\nhello\r\n0\r\n\r\n",
        b"8000000000000000\r\nhello\r\n0\r\n\r\n",
        b"5" + b";" * 100_000 + b"\r\nhello\r\n0\r\n\r\n",
        b"0" * 100_000 + b"\r\n\r\n",
        b"\x00\r\n\r\n",
        b"\xef\xbb\xbf5\r\nhello\r\n0\r\n\r\n",
        b"\xd9\xa5\r\nhello\r\n0\r\n\r\n",
    ]
):
    case(f"chunks-odd-{index}", post(b"Transfer-Encoding: chunked", body=chunks), 400)
case(
    "trailers-many",
    post(b"Transfer-Encoding: chunked", body=b"0\r\n" + b"X: y\r\n" * 200 + b"\r\n"),
    431,
)
case(
    "trailers-long",
    post(b"Transfer-Encoding: chunked", body=b"0\r\nX: " + b"y" * 70_000 + b"\r\n\r\n"),
    431,
)

# HTTP/1.0 knows no Transfer-Encoding, no Expect, no Upgrade.
OLD = b"POST /p HTTP/1.0\r\nHost: a.test\r\n"
case("old-te", OLD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS, 400)
case("old-te-keep", OLD + b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n", 400)
case("old-length", OLD + b"Content-Length: 5\r\n\r\nhello", one(b"hello"))
case("old-expect", OLD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", one(b"hi"))

# Expect: 100-continue or nothing.
for index, expect in enumerate([b"100-continue", b"100-Continue", b" 100-continue "]):
    raw = post(b"Expect:" + expect, b"Content-Length: 2", body=b"hi")
    case(f"expect-fine-{index}", raw, one(b"hi"))
for index, expect in enumerate(
    [
        b"",
        b"100",
        b"100-continue, x",
        b"x",
        b"100-continue;q=1",
        b"y 100-continue",
        b"100-continue\xa0",
    ]
):
    raw = post(b"Expect: " + expect, b"Content-Length: 2", body=b"hi")
    case(f"expect-odd-{index}", raw, 417)
raw = post(b"Expect: 100-continue", b"Expect: 100-continue", b"Content-Length: 2", body=b"hi")
case("expect-twice", raw, 400)

# Connection may not take away what frames or routes the message.
for name in (
    b"Host",
    b"Content-Length",
    b"Transfer-Encoding",
    b"close, host",
    b"x, CONTENT-LENGTH",
):
    raw = post(b"Connection: " + name, b"Content-Length: 2", body=b"hi")
    case(f"connection-{name.decode()}", raw, 400)
for index, value in enumerate([b"a b", b"close; x", b'"close"', b"cl\xc3\xb6se", b"a/b", b"(x)"]):
    case(f"connection-odd-{index}", get(b"/", b"Connection: " + value), 400)
case("upgrade-twice", get(b"/", b"Connection: upgrade", b"Upgrade: a", b"Upgrade: b"), 400)

# Pipelining: the second request is the visitor's own, never the first one's body.
case("two-gets", get(b"/1") + get(b"/2"), ((b"GET", b"/1", b""), (b"GET", b"/2", b"")))
case(
    "get-body-then-get",
    get(b"/1", b"Content-Length: 5") + b"hello" + get(b"/2"),
    ((b"GET", b"/1", b"hello"), (b"GET", b"/2", b"")),
)
case(
    "chunked-then-get",
    post(b"Transfer-Encoding: chunked", body=CHUNKS) + get(b"/2"),
    ((b"POST", b"/p", b"hello"), (b"GET", b"/2", b"")),
)
case(
    "post-crlf-get",
    post(b"Content-Length: 2", body=b"hi") + b"\r\n" + get(b"/2"),
    ((b"POST", b"/p", b"hi"), (b"GET", b"/2", b"")),
)
case("close-then-more", get(b"/1", b"Connection: close") + get(b"/2"), ((b"GET", b"/1", b""),))
case("close-then-junk", get(b"/1", b"Connection: close") + b"\x00\x01", ((b"GET", b"/1", b""),))
case("old-then-more", b"GET /1 HTTP/1.0\r\nHost: a\r\n\r\n" + get(b"/2"), ((b"GET", b"/1", b""),))

# Too much of anything.
case("fields-100", get(b"/", *[b"X: y"] * 99), ((b"GET", b"/", b""),))
case("fields-101", get(b"/", *[b"X: y"] * 100), 431)
case("fields-10k", get(b"/", *[b"X: y"] * 10_000), 431)
case("fields-10k-bad", get(b"/", *[b"X: y"] * 10_000, b"X : y"), 431)
case("head-64k", get(b"/", *[b"X: " + b"y" * 1000] * 70), 431)
case("value-1m", get(b"/", b"X: " + b"y" * 1_000_000), 431)
case("name-1m", get(b"/", b"X" * 1_000_000 + b": y"), 431)
case("cut-line", b"GET / HT", 400)
case("cut-head", b"GET / HTTP/1.1\r\nHost: a.test\r\n", 400)
case("cut-body", post(b"Content-Length: 5", body=b"hell"), 400)
case("cut-chunk", post(b"Transfer-Encoding: chunked", body=b"5\r\nhel"), 400)
case("cut-trailers", post(b"Transfer-Encoding: chunked", body=b"0\r\n"), 400)

# Not HTTP at all.
for name, junk in {
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "proxy": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "smtp": b"EHLO x\r\n\r\n",
    "redis": b"*1\r\n$4\r\nPING\r\n\r\n",
    "nul": b"\x00" * 100,
}.items():
    case(f"not-http-{name}", junk, 400)


def read(pieces: list[bytes]) -> list[RequestEvent]:
    """Everything a reader says to ``pieces`` and the end, parts of a body joined."""
    reader = RequestReader()
    events: list[RequestEvent] = []
    for piece in pieces:
        events += reader.receive_data(piece)
    events += reader.receive_eof()
    joined: list[RequestEvent] = []
    for event in events:
        if isinstance(event, bytes) and joined and isinstance(joined[-1], bytes):
            joined[-1] += event
        else:
            joined.append(event)
    return joined


def verdict_of(events: list[RequestEvent]) -> Verdict:
    last = events[-1] if events else None
    if isinstance(last, Malformed):
        return last.status
    messages = []
    body = b""
    for event in events:
        if isinstance(event, RequestHead):
            method, target, body = event.method, event.target, b""
        elif isinstance(event, bytes):
            body = event
        else:
            assert isinstance(event, EndOfMessage)
            messages.append((method, target, body))
    return tuple(messages)


def accepted(events: list[RequestEvent]) -> list[RequestEvent]:
    return [event for event in events if isinstance(event, RequestHead)]


@pytest.mark.parametrize("name", CASES)
def test_verdict_does_not_depend_on_how_the_bytes_arrive(name: str) -> None:
    raw, expected = CASES[name]
    whole = read([raw])
    if expected == -1:
        assert verdict_of(whole) in (400, 501)
    else:
        assert verdict_of(whole) == expected
    status = verdict_of(whole) if isinstance(expected, int) else expected

    byte_by_byte = read([raw[at : at + 1] for at in range(len(raw))])
    assert verdict_of(byte_by_byte) == status
    assert accepted(byte_by_byte) == accepted(whole)

    points = range(1, len(raw)) if len(raw) <= 1000 else [1, 15, 16, 17, 40, 1000, len(raw) - 2]
    for at in points:
        split = read([raw[:at], raw[at:]])
        assert verdict_of(split) == status, at
        assert accepted(split) == accepted(whole), at


def test_the_corpus_is_large() -> None:
    assert len(CASES) >= 600


def test_nothing_is_parsed_after_a_refusal() -> None:
    reader = RequestReader()
    assert isinstance(reader.receive_data(b"\n")[-1], Malformed)
    assert reader.receive_data(get()) == []
    assert reader.receive_eof() == []
    assert not reader.keep_alive
