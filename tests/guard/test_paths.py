"""Which rule a path falls under, and that no spelling of it falls under another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.guard.paths import PathTable, is_plain

TABLE = PathTable(
    [
        ("/", "root"),
        ("/mcp", "mcp"),
        ("/mcp/*", "below mcp"),
        ("/hooks/*", "hooks"),
        ("/hooks/github", "github"),
        ("/API/v1/*", "api"),
        ("/mail@home", "mail"),
    ],
    "other",
)


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (b"/", "root"),
        (b"/?x=/mcp", "root"),
        (b"/mcp", "mcp"),
        (b"/mcp/", "mcp"),
        (b"/mcp?a=b", "mcp"),
        (b"/mcp/x", "below mcp"),
        (b"/mcp/x/", "below mcp"),
        (b"/mcp2", "other"),
        (b"/mcpx/y", "other"),
        (b"/x/mcp", "other"),
        (b"/hooks", "hooks"),
        (b"/hooks/", "hooks"),
        (b"/hooks/stripe/eu", "hooks"),
        (b"/hooks/github", "github"),
        (b"/hooks/github/", "github"),
        (b"/hooks/github/x", "hooks"),
        (b"/hooksx", "other"),
        (b"/API/v1/users", "api"),
        (b"/mail@home", "mail"),
        (b"/caf%C3%A9/menu%20one", "other"),
        (b"/hooks/caf%C3%A9", "hooks"),
        (b"/a..b/.well-known/x", "other"),
        (b"*", "other"),
    ],
)
def test_the_longest_pattern_wins_and_an_exact_one_before_a_star(target: bytes, found: str) -> None:
    assert TABLE.find(target) == found


@pytest.mark.parametrize(
    "target", [b"/MCP", b"/Mcp/", b"/Hooks/x", b"/api/v1/x", b"/Api/V1", b"/mail%40home"]
)
def test_a_path_that_another_reading_would_put_under_another_rule_is_ambiguous(
    target: bytes,
) -> None:
    assert TABLE.find(target) is None


def test_case_does_not_matter_where_it_changes_no_rule() -> None:
    assert TABLE.find(b"/hooks/GitLab") == "hooks"
    assert TABLE.find(b"/Other/Path") == "other"


NOT_PLAIN = [
    b"",
    b"mcp",
    b"//",
    b"//mcp",
    b"/mcp//",
    b"/a//mcp",
    b"/.",
    b"/..",
    b"/./mcp",
    b"/a/../mcp",
    b"/mcp/.",
    b"/mcp/..",
    b"/mcp.",
    b"/mcp./x",
    b"/mcp...",
    b"/mcp;x",
    b"/;/mcp",
    b"/..;/mcp",
    b"/\\mcp",
    b"/a\\..\\mcp",
    b"/mcp#x",
    b"/mcp?x",
    b"/%2e/mcp",
    b"/%2E%2e/mcp",
    b"/a/%2e%2e/mcp",
    b"/a%2fmcp",
    b"/a%2Fmcp",
    b"/a%5cmcp",
    b"/a%5Cmcp",
    b"/mcp%3bx",
    b"/mcp%3fx",
    b"/mcp%23x",
    b"/mcp%00",
    b"/mcp%0a",
    b"/mcp%0d%0a",
    b"/mcp%09",
    b"/mcp%7f",
    b"/%6dcp",
    b"/%4dcp",
    b"/m%63p",
    b"/mcp%7e",
    b"/mcp%2d",
    b"/%256dcp",
    b"/%25%36dcp",
    b"/mcp%",
    b"/mcp%4",
    b"/mcp%zz",
    b"/mcp%u006d",
    b"/mcp% 41",
    b"/%c0%af",
    b"/%c0%aemcp",
    b"/%e0%80%af",
    b"/%f0%80%80%af",
    b"/%ed%a0%80",
    b"/%ff",
    b"/%80",
    b"/%EF%BC%8Fmcp",
    b"/%EF%BD%8Dcp",
    b"/%E2%80%A4x",
    b"/%E2%84%AAx",
    b"/%C5%BFx",
    b"/%C4%B1x",
    b"/%C4%B0x",
    b"/%EF%AC%81x",
    b"/mcp%20",
    b"/mcp%20/x",
    b"/mcp x",
    b"/mcp\t",
    b"/mcp\0",
    b"/mcp\n",
    b"/mcp\xc3\xa9",
    b"http://tools.example/mcp",
    b"tools.example:80",
    b"*",
    b"?x",
]


@pytest.mark.parametrize("path", NOT_PLAIN, ids=range(len(NOT_PLAIN)))
def test_a_path_that_somebody_might_read_otherwise_is_not_plain(path: bytes) -> None:
    assert not is_plain(path)


@pytest.mark.parametrize(
    "path",
    [
        b"/",
        b"/a/b/",
        b"/_next/static/[slug]/page-1.js",
        b"/message:send",
        b"/~user/(x)/'y',z=1!$&+*@|^`{}\"<>",
        b"/.well-known/oauth-protected-resource",
        b"/caf%C3%A9",
        b"/caf%c3%a9/%E6%97%A5%E6%9C%AC",
        b"/a%20b",
        b"/%40x/%2B%2C%3D%26",
        b"/..x/x..y",
    ],
)
def test_an_ordinary_path_is_plain(path: bytes) -> None:
    assert is_plain(path)


def lenient(path: bytes) -> set[bytes]:
    """What careless servers make of ``path``: each of these has been seen."""
    import re
    from posixpath import normpath
    from urllib.parse import unquote_to_bytes

    readings, fresh = {path}, {path}
    while fresh:
        made: set[bytes] = set()
        for each in fresh:
            made |= {
                unquote_to_bytes(each),
                each.lower(),
                re.sub(rb"/+", b"/", each),
                each.replace(b"\\", b"/"),
                re.sub(rb";[^/]*", b"", each),
                each.partition(b"#")[0],
                each.rstrip(b". ") or b"/",
                normpath(each.decode("latin-1") or "/").replace("//", "/").encode("latin-1"),
                each.partition(b"\0")[0],
            }
        fresh = {each for each in made if each.startswith(b"/")} - readings
        readings |= fresh
        if len(readings) > 300:
            break
    return readings


PIECES = st.sampled_from(
    [
        "/",
        "//",
        "mcp",
        "MCP",
        "hooks",
        ".",
        "..",
        "%2e",
        "%2f",
        "%5c",
        "\\",
        ";x",
        "%6d",
        "cp",
        "%25",
        "%00",
        "x",
        "%20",
        "API",
        "v1",
        "?",
        "#",
        "%C3%A9",
    ]
)


@given(st.lists(PIECES, min_size=1, max_size=7).map("".join))
def test_no_reading_of_an_accepted_path_falls_under_another_rule(text: str) -> None:
    path = ("/" + text).encode().partition(b"?")[0]
    found = TABLE.find(path)
    if found is None:
        return
    for reading in lenient(path):
        assert TABLE.find(reading) in (found, None), (path, reading)


def test_what_is_remembered_is_bounded() -> None:
    table = PathTable([("/a", 1)], 0)
    for number in range(6000):
        table.find(b"/%d" % number)
    table.find(b"/" + b"x" * 8000)
    assert table._find.cache_info().currsize <= 4096
