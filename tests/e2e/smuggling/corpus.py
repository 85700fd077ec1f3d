"""Raw requests that two readers could take in two ways: over a thousand, by family.

Every case is what one visitor sends on one connection. ``~`` stands for the number of the case and
``HOST`` for the tunnel's own authority; the visitor's token is in the first request of each, unless
the case is about the head itself. Whatever is meant to be smuggled asks for ``/smuggled/…`` and has
no token: an origin that sees it has been reached past the gate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

AUTH: Final = b"Authorization: Bearer TOKEN\r\n"
STOWAWAY: Final = b"GET /smuggled/~ HTTP/1.1\r\nHost: HOST\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Case:
    """One visitor's bytes."""

    name: str
    wire: bytes

    def bytes_for(self, number: int, authority: bytes, token: bytes) -> bytes:
        """What is sent for this case."""
        stowaway = STOWAWAY.replace(b"~", b"%d" % number).replace(b"HOST", authority)
        wire = self.wire.replace(b"~", b"%d" % number).replace(b"HOST", authority)
        for mark, text in (
            (b"TOKEN", token),
            (b"LENGTH", b"%d" % len(stowaway)),
            (b"HEXLEN", b"%x" % len(stowaway)),
        ):
            wire = wire.replace(mark, text)
        return wire


def cases() -> tuple[Case, ...]:
    """All of them, in a fixed order."""
    families = (
        ("lengths", _lengths),
        ("framing names", _framing_names),
        ("lines", _lines),
        ("chunks", _chunks),
        ("trailers", _trailers),
        ("targets", _targets),
        ("hosts", _hosts),
        ("versions", _versions),
        ("methods", _methods),
        ("expectations", _expectations),
        ("pipelines", _pipelines),
        ("hops", _hops),
        ("twins", _twins),
        ("sizes", _sizes),
    )
    return tuple(
        Case(f"{family} {number}: {wire[:90]!r}", wire)
        for family, make in families
        for number, wire in enumerate(make())
    )


def post(*fields: bytes, body: bytes = b"") -> bytes:
    """A POST with a token and ``fields`` as they are."""
    head = b"POST /case/~ HTTP/1.1\r\nHost: HOST\r\n" + AUTH
    return head + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


def get(*fields: bytes, target: bytes = b"/case/~", rest: bytes = b"") -> bytes:
    """A GET with a token and ``fields`` as they are."""
    head = b"GET " + target + b" HTTP/1.1\r\nHost: HOST\r\n" + AUTH
    return head + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + rest


# A body that ends here for who counts, and there for who reads chunks; and the other way round.
_BY_CHUNKS: Final = b"0\r\n\r\n" + STOWAWAY
_BY_COUNT: Final = b"HEXLEN\r\n" + STOWAWAY + b"\r\n0\r\n\r\n"

_LENGTHS: Final = (
    *(b"0", b"5", b"-1", b"+5", b"5,5", b"5, 6", b"5 5", b"0x5", b"5.0", b"1e1", b"", b"00005"),
    *(b"99999999999999999999", b"5;", b"\xd9\xa5", b"5\x00", b"5\x0b", b"\xa05", b"4,"),
)
_CODINGS: Final = (
    *(b"chunked", b"Chunked", b"chunked, identity", b"identity, chunked", b"xchunked"),
    *(b"chunked\x0b", b"chunked;q=1", b"\x0cchunked", b"chunked ,", b"chunked, chunked"),
    *(
        b"identity",
        b"gzip, chunked",
        b"gzip",
        b'"chunked"',
        b"chunked\x00",
        b"chunk",
        b"\xa0chunked",
    ),
    *(b"chunked\r\n\tidentity", b"\r\n chunked", b", chunked", b"chunked\x85"),
)


def _lengths() -> Iterator[bytes]:
    for length, coding in product(_LENGTHS, _CODINGS):
        fields = (b"Content-Length: " + length, b"Transfer-Encoding: " + coding)
        yield post(*fields, body=_BY_CHUNKS)
        yield post(*reversed(fields), body=_BY_COUNT)
    for length in _LENGTHS:
        yield post(b"Content-Length: " + length, body=b"hello" + STOWAWAY)
        yield get(b"Content-Length: " + length, rest=STOWAWAY)
    for first, second in product((b"0", b"5", b"05"), (b"5", b"6", b"5 ", b"0")):
        yield post(
            b"Content-Length: " + first, b"content-length: " + second, body=b"hello" + STOWAWAY
        )
    for coding in _CODINGS:
        yield post(b"Transfer-Encoding: " + coding, body=_BY_CHUNKS)
        yield post(b"Transfer-Encoding: " + coding, b"Transfer-Encoding: chunked", body=_BY_COUNT)
        yield post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: " + coding, body=_BY_COUNT)


_ODD_NAMES: Final = (
    *(
        b"%s :",
        b"%s\t:",
        b" %s:",
        b"\t%s:",
        b"%s\x00:",
        b"\x00%s:",
        b"%s\x0b:",
        b"%s\xa0:",
        b"x\r%s:",
    ),
    *(b"%s\r:", b"x\n%s:", b"x: y\n%s:", b"x: y\r%s:", b"x: y\n\r%s:", b'"%s":', b"%s;:", b"%s,:"),
    *(b"x:\r\n %s:", b"%s", b"%s=", b":%s:", b"\xff%s:", b"%s\x7f:", b"(%s):", b"x:\x00\r\n%s:"),
)


def _framing_names() -> Iterator[bytes]:
    for pattern in _ODD_NAMES:
        for name in (b"Transfer-Encoding", b"transfer_encoding", b"Transfer.Encoding"):
            odd = pattern.replace(b"%s", name) + b" chunked"
            yield post(odd, b"Content-Length: 5", body=_BY_CHUNKS)
            yield post(odd, body=_BY_COUNT)
        for name in (b"Content-Length", b"content_length"):
            odd = pattern.replace(b"%s", name) + b" 5"
            yield post(odd, body=b"hello" + STOWAWAY)
            yield post(odd, b"Transfer-Encoding: chunked", body=_BY_CHUNKS)


def _lines() -> Iterator[bytes]:
    whole = post(b"Content-Length: 5", b"X-One: 1", body=b"hello")
    marks = [at for at in range(len(whole)) if whole.startswith(b"\r\n", at)]
    for at, end in product(marks, (b"\n", b"\r", b"\r\r\n", b"\n\r", b"\x0b\r\n", b"\x00\r\n")):
        yield whole[:at] + end + whole[at + 2 :] + STOWAWAY
    for odd in (
        b"\x00",
        b"\x01",
        b"\x08",
        b"\x0b",
        b"\x0c",
        b"\x7f",
        b"\r",
        b"\n",
        b"\x85",
        b"\xa0",
    ):
        yield get(b"X-Odd: a" + odd + b"b", rest=STOWAWAY)
        yield get(b"X-Odd:" + odd + b"b", rest=STOWAWAY)
        yield get(b"X-Odd: a" + odd, rest=STOWAWAY)
        yield get(b"X" + odd + b"Odd: a", rest=STOWAWAY)
    for fold in (b"X: a\r\n b", b"X: a\r\n\tb", b"X:\r\n b", b"X: a\r\n \r\n b", b" X: a"):
        yield get(fold)
        yield get(b"Y: 1", fold, b"Z: 2", rest=STOWAWAY)
    for start in (b"\r\n", b"\n", b"\r\n\r\n", b"\r\n" * 40, b" ", b"\t", b"\x00", b"\xef\xbb\xbf"):
        yield start + get()
    for field in (
        b"",
        b":",
        b": a",
        b"a",
        b"a b: c",
        b"a\tb: c",
        b"a:b:c",
        b"=",
        b"a;b: c",
        b"\xe9: a",
    ):
        yield get(field, rest=STOWAWAY)


_SIZES: Final = (
    *(b"5", b"05", b"0005", b"0x5", b"+5", b"-5", b"5 ", b" 5", b"5\t", b"5;", b"5;a", b"5;a=b"),
    *(b'5;a="b"', b'5;a="\n"', b"5;\n", b"5\x00", b"\xd9\xa5", b"5_", b"1_0", b"", b"g", b"5h"),
    *(b"FFFFFFFFFFFFFFFF5", b"10000000000000005", b"80000000", b"5;" + b"a" * 5000, b"5\r", b"5.0"),
)


def _chunks() -> Iterator[bytes]:
    def chunked(*parts: bytes) -> bytes:
        return post(b"Transfer-Encoding: chunked", body=b"".join(parts))

    for size, end in product(_SIZES, (b"\r\n", b"\n", b"\r")):
        yield chunked(size, end, b"hello\r\n0\r\n\r\n")
        yield chunked(b"5\r\nhello\r\n", size, end, b"again\r\n0\r\n\r\n", STOWAWAY)
    for end in (b"", b"\n", b"\r", b"\r\r\n", b"XX", b"\n\r", b" \r\n", b"\r\n ", b"a\r\n"):
        yield chunked(b"5\r\nhello", end, b"0\r\n\r\n", STOWAWAY)
        yield chunked(b"5\r\nhello\r\n0", end, b"\r\n", STOWAWAY)
        yield chunked(b"5\r\nhello\r\n0\r\n", end, STOWAWAY)
    for last in (
        b"00",
        b"000000000000000000",
        b"0;a",
        b"0;a=b",
        b"-0",
        b"+0",
        b"0x0",
        b" 0",
        b"0 ",
    ):
        yield chunked(b"5\r\nhello\r\n", last, b"\r\n\r\n", STOWAWAY)
    yield chunked(b"5\r\nhel")
    yield chunked(b"5\r\nhello\r\n")
    yield chunked(b"5\r\nhello\r\n0\r\n")
    yield chunked(*[b"1\r\na\r\n"] * 3000, b"0\r\n\r\n")


def _trailers() -> Iterator[bytes]:
    names = (
        *(b"Content-Length", b"Transfer-Encoding", b"Host", b"Authorization", b"Cookie", b"TE"),
        *(b"X-Forwarded-For", b"X-Real-IP", b"Forwarded", b"Underpass-Token", b"Connection"),
        *(b"Trailer", b"Content-Type", b"Set-Cookie", b"X-Fine", b"Upgrade", b"Expect", b"Origin"),
    )
    for name, value in product(names, (b"5", b"chunked", b"evil.example", b"a\r\n b", b"a\nb: c")):
        trailer = name + b": " + value + b"\r\n\r\n"
        declared = (b"Transfer-Encoding: chunked", b"Trailer: " + name)
        yield post(*declared, body=b"5\r\nhello\r\n0\r\n" + trailer + STOWAWAY)
    for odd in (b"no colon", b" X: a", b"X : a", b"X: a\x00", b"X: " + b"a" * 70_000, b"X: a\n"):
        yield post(b"Transfer-Encoding: chunked", body=b"0\r\n" + odd + b"\r\n\r\n" + STOWAWAY)


def _targets() -> Iterator[bytes]:
    targets = (
        *(b"http://169.254.169.254/~", b"https://HOST/~", b"http://HOST@evil/~", b"ws://HOST/~"),
        *(b"//evil.example/~", b"///~", b"/\\evil/~", b"\\@~", b"\\\\evil\\~", b"/@evil.example/~"),
        *(
            b"HOST",
            b"evil:443",
            b"*",
            b"@~",
            b"",
            b"?~",
            b"#~",
            b"/~#a",
            b"/~?a#b",
            b"/~ a",
            b"/~\ta",
        ),
        *(
            b"/~\x00",
            b"/~\x0b",
            b"/~\x7f",
            b"/~\xe9",
            b"/~\xff",
            b"/~%00",
            b"/~%0d%0aX:%20y",
            b"/~%",
        ),
        *(
            b"/~%zz",
            b"/../~",
            b"/~/..",
            b"/~/../../etc/passwd",
            b"/%2e%2e/~",
            b"/~/%2e%2e%2f",
            b"/~;a",
        ),
        *(
            b"/~;a=b/..;/",
            b"/./~",
            b"/~/.",
            b"/~//a",
            b"/~?a=b?c",
            b"/~?" + b"a" * 20_000,
            b"/~\\..\\",
        ),
        *(
            b"/~\r",
            b"/~\r\nX: y",
            b"/~\n",
            b"/~ HTTP/1.1\r\nX: y\r\n\r\nGET /smuggled/~",
            b"file:///etc",
        ),
        *(
            b"javascript:~",
            b"/~{a}",
            b"/~|a",
            b"/~^",
            b'/~"',
            b"/~<a>",
            b"/~`",
            b"/~[::1]",
            b"/%40~",
        ),
        *(
            b"http:/~",
            b"http:~",
            b"http:///~",
            b"/http://evil/~",
            b"/~?http://evil/",
            b"HTTP://HOST/~",
        ),
    )
    for target in targets:
        yield get(target=target, rest=STOWAWAY)
        yield (
            b"POST " + target + b" HTTP/1.1\r\nHost: HOST\r\n" + AUTH + b"Content-Length: 0\r\n\r\n"
        )
    for method in (b"CONNECT", b"OPTIONS"):
        for target in (b"*", b"HOST", b"/~", b"evil.example:443", b"http://HOST/~", b""):
            yield (
                method + b" " + target + b" HTTP/1.1\r\nHost: HOST\r\n" + AUTH + b"\r\n" + STOWAWAY
            )


def _hosts() -> Iterator[bytes]:
    values = (
        *(
            b"",
            b"evil.example",
            b"HOST, evil.example",
            b"HOST evil.example",
            b"evil@HOST",
            b"HOST/a",
        ),
        *(
            b"HOST?a",
            b"HOST#a",
            b"HOST\\a",
            b"HOST:80",
            b"[::1]",
            b"127.0.0.1",
            b"localhost",
            b"HOST.",
        ),
        *(
            b"\tHOST\t",
            b"HOST\x00",
            b"HOST\x0b",
            b"HOST\r",
            b"HOST\n",
            b"H\xe9ST",
            b"HOST:",
            b"HOST:x",
        ),
        *(b"HOST:-1", b"0x7f.1", b"127.1", b"2130706433", b"0.0.0.0", b"[::ffff:127.0.0.1]", b"*"),
    )
    for value in values:
        head = b"GET /case/~ HTTP/1.1\r\nHost: " + value + b"\r\n" + AUTH
        yield head + b"\r\n" + STOWAWAY
        yield head + b"Host: HOST\r\n\r\n"
        yield b"GET /case/~ HTTP/1.1\r\nHost: HOST\r\n" + AUTH + b"hOST: " + value + b"\r\n\r\n"
        yield b"GET http://" + value + b"/case/~ HTTP/1.1\r\nHost: HOST\r\n" + AUTH + b"\r\n"
    yield b"GET /case/~ HTTP/1.1\r\n" + AUTH + b"\r\n"
    yield b"GET /case/~ HTTP/1.0\r\n" + AUTH + b"\r\n"
    for name in (b"Host ", b" Host", b"Host\t", b"Ho st", b"Host\x00", b"X-Host", b"Host_"):
        yield b"GET /case/~ HTTP/1.1\r\n" + name + b": HOST\r\n" + AUTH + b"\r\n"


def _versions() -> Iterator[bytes]:
    versions = (
        *(
            b"HTTP/1.0",
            b"HTTP/0.9",
            b"HTTP/1.2",
            b"HTTP/2.0",
            b"HTTP/2",
            b"HTTP/3",
            b"http/1.1",
            b"",
        ),
        *(b"HTTP/1.1 ", b"HTTP/1.10", b"HTTP/01.1", b"HTTP/1", b"HTTP/1.", b"HTTP/.1", b"HTTP 1.1"),
        *(
            b"HTTP/1.1\x00",
            b"HTTP/1,1",
            b"XTTP/1.1",
            b"RTSP/1.0",
            b"ICY",
            b"HTTP/9.9",
            b"HTTP/1.1;a",
        ),
    )
    for version in versions:
        start = b"POST /case/~ " + version + b"\r\nHost: HOST\r\n" + AUTH
        yield start + b"\r\n" + STOWAWAY
        yield start + b"Transfer-Encoding: chunked\r\n\r\n" + _BY_COUNT
        yield start + b"Content-Length: 5\r\nConnection: keep-alive\r\n\r\nhello" + STOWAWAY
    yield b"GET /case/~\r\n" + STOWAWAY
    yield b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)
    yield b"GET  /case/~  HTTP/1.1\r\nHost: HOST\r\n" + AUTH + b"\r\n"
    yield b"GET\t/case/~\tHTTP/1.1\r\nHost: HOST\r\n" + AUTH + b"\r\n"
    yield b"GET /case/~ x HTTP/1.1\r\nHost: HOST\r\n" + AUTH + b"\r\n"


def _methods() -> Iterator[bytes]:
    methods = (
        *(b"get", b"Get", b"GE T", b"GET\x00", b"\x00GET", b"G\xc3\x89T", b"GET:", b"", b"GET\x0b"),
        *(
            b"HEAD",
            b"TRACE",
            b"TRACK",
            b"PATCH",
            b"PROPFIND",
            b"M-SEARCH",
            b"X" * 40,
            b"X" * 9000,
            b"(",
        ),
        *(
            b"DELETE",
            b"PUT",
            b"BREW",
            b"GET,POST",
            b'"GET"',
            b"GET\r\nPOST",
            b"{}",
            b"SOURCE",
            b"QUERY",
        ),
    )
    for method in methods:
        start = method + b" /case/~ HTTP/1.1\r\nHost: HOST\r\n" + AUTH
        yield start + b"\r\n" + STOWAWAY
        yield start + b"Content-Length: 5\r\n\r\nhello" + STOWAWAY
        yield start + b"Transfer-Encoding: chunked\r\n\r\n" + _BY_COUNT
    for override in (b"X-HTTP-Method-Override", b"X-Method-Override", b"X-HTTP-Method"):
        yield get(override + b": DELETE")


def _expectations() -> Iterator[bytes]:
    values = (b"100-continue", b"100-Continue", b"100-continue, x", b"x", b"", b"100-continue\x00")
    for value, framing in product(
        values, (b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Content-Length: 0", b"X: y")
    ):
        yield post(b"Expect: " + value, framing, body=b"hello" + STOWAWAY)
        yield post(b"Expect: " + value, b"Expect: 100-continue", framing, body=_BY_CHUNKS)
        yield b"GET /case/~ HTTP/1.0\r\nHost: HOST\r\n" + AUTH + b"Expect: " + value + b"\r\n\r\n"


def _pipelines() -> Iterator[bytes]:
    for first in (get(), post(b"Content-Length: 5", body=b"hello"), get(b"Connection: close")):
        yield first + STOWAWAY
        yield first + first + STOWAWAY
        yield first * 20
        yield first + b"GARBAGE\r\n\r\n" + STOWAWAY
        yield first + b"\x00" * 64 + STOWAWAY
        yield first + STOWAWAY.replace(b"GET", b"get ")
    for method in (b"HEAD", b"OPTIONS", b"DELETE"):
        start = method + b" /case/~ HTTP/1.1\r\nHost: HOST\r\n" + AUTH
        yield start + b"\r\n" + STOWAWAY
        yield start + b"Content-Length: 3\r\n\r\nabc" + STOWAWAY
    for protocol in (
        b"websocket",
        b"h2c",
        b"TLS/1.0",
        b"x",
        b"websocket, h2c",
        b"",
        b"WebSocket\x00",
    ):
        for more in (
            (),
            (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="),
        ):
            fields = (b"Connection: Upgrade", b"Upgrade: " + protocol, *more)
            yield get(*fields, rest=STOWAWAY)
            yield post(*fields, b"Content-Length: 5", body=b"hello" + STOWAWAY)
            yield get(*fields, b"HTTP2-Settings: AAMAAABkAAQAAP__", rest=STOWAWAY)
            yield post(*fields, b"Content-Length: LENGTH", body=STOWAWAY)
            yield get(*fields, b"Content-Length: LENGTH", rest=STOWAWAY)
            yield post(*fields, b"Transfer-Encoding: chunked", body=_BY_COUNT)
    for length in (b"4", b"5", b"6", b"7", b"LENGTH"):
        yield post(b"Content-Length: " + length, body=b"hello" + STOWAWAY)
    yield post(b"Content-Length: LENGTH", body=STOWAWAY)
    yield get(b"Content-Length: LENGTH", rest=STOWAWAY)


def _hops() -> Iterator[bytes]:
    named = (
        *(b"Authorization", b"Host", b"Content-Length", b"Transfer-Encoding", b"X-Forwarded-For"),
        *(b"close, X-One", b"keep-alive, Authorization", b"Cookie", b"Underpass-Token", b"upgrade"),
        *(
            b"te",
            b"X-One, X-One",
            b'"close"',
            b"close;a",
            b"\x00",
            b",,,",
            b"Proxy-Authorization",
            b"*",
        ),
    )
    for name in named:
        yield get(b"Connection: " + name, b"X-One: 1")
        yield post(
            b"Connection: " + name, b"X-One: 1", b"Content-Length: 5", body=b"hello" + STOWAWAY
        )
        yield post(b"Proxy-Connection: " + name, b"Transfer-Encoding: chunked", body=_BY_COUNT)
        yield get(b"Connection: x", b"Connection: " + name, b"X-One: 1", rest=STOWAWAY)
    for field in (
        b"TE: trailers",
        b"TE: gzip",
        b"Keep-Alive: a",
        b"Proxy-Authorization: b",
        b"Via: x",
    ):
        yield get(field, rest=STOWAWAY)


def _twins() -> Iterator[bytes]:
    names = (
        *(
            b"X-Forwarded-For",
            b"X-Forwarded-Host",
            b"X-Forwarded-Proto",
            b"X-Real-IP",
            b"Forwarded",
        ),
        *(
            b"X-Original-URL",
            b"X-Rewrite-URL",
            b"X-Forwarded-User",
            b"CF-Connecting-IP",
            b"True-Client-IP",
        ),
        *(
            b"X-Forwarded-Prefix",
            b"X-Remote-User",
            b"Underpass-Proof",
            b"Underpass-Token",
            b"X-Client-IP",
        ),
    )
    for name in names:
        for twin in (name, name.replace(b"-", b"_"), name.replace(b"-", b"_", 1), name.upper()):
            yield get(twin + b": 127.0.0.1", rest=STOWAWAY)
            yield get(twin + b": a", twin + b": 127.0.0.1, ::1")


def _sizes() -> Iterator[bytes]:
    for size in (8_000, 16_000, 17_000, 66_000, 200_000):
        yield get(b"X-Long: " + b"a" * size, rest=STOWAWAY)
        yield get(b"X" * size + b": a", rest=STOWAWAY)
        yield get(target=b"/case/~?" + b"a" * size, rest=STOWAWAY)
    for count in (90, 110, 1_000, 5_000):
        yield get(*[b"X-%d: a" % number for number in range(count)], rest=STOWAWAY)
    yield post(b"Content-Length: 100000", body=b"a" * 100_000 + STOWAWAY)
    yield post(b"Content-Length: 100000", body=b"a" * 50_000)
