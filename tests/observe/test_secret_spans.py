"""Secrets are found by their names and forms, wherever a text was cut or folded."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underpass.observe.redaction import Redaction
from underpass.observe.secret_names import (
    STEMS,
    announces_secret,
    announces_secret_in_query,
    is_secret_field,
)
from underpass.observe.secret_spans import find_spans, replace_spans

pytestmark = pytest.mark.pure

# Put together here, so that no scanner of repositories takes them for real ones.
TAIL = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V"
SHAPES = [
    "up_" + TAIL,
    "eyJhbGciOiJIUzI1NiJ9" + "." + "eyJzdWIiOiIxIn0" + "." + TAIL,
    "gh" + "p_" + TAIL[:36],
    "github" + "_pat_" + TAIL,
    "sk" + "-" + TAIL,
    "sk" + "-ant-api03-" + TAIL,
    "sk_" + "live_" + TAIL[:24],
    "xox" + "b-123456789012-" + TAIL[:24],
    "AKIA" + "IOSFODNN7EXAMPLE",
    "AIza" + TAIL[:35],
    "glpat" + "-" + TAIL[:20],
    "hf_" + TAIL[:34],
    "npm_" + TAIL[:36],
    "whsec_" + TAIL[:32],
]


def redacted(text: str | bytes, **options: bool) -> str:
    data = text.encode() if isinstance(text, str) else text
    spans = find_spans(data, **options)
    return replace_spans(data, spans, [b"#"] * len(spans)).decode()


@pytest.mark.parametrize("token", SHAPES)
def test_a_token_of_known_shape_is_found_in_any_text(token: str) -> None:
    assert redacted(f"say {token} now") == "say # now"
    assert redacted(json.dumps({"text": f"it is {token}."})).count(token[:12]) == 0


@pytest.mark.parametrize("token", SHAPES)
def test_a_token_that_is_cut_off_is_found_too(token: str) -> None:
    for length in range(len(token) // 2, len(token)):
        assert token[:length] not in redacted(f"say {token[:length]}", cut=True)


def test_a_private_key_is_found_whole_and_cut() -> None:
    key = "-----BEGIN EC " + "PRIVATE KEY-----\nMHcCAQEE\nabc=\n-----END EC PRIVATE KEY-----"
    assert redacted(f"a\n{key}\nb") == "a\n#\nb"
    assert redacted(f"a\n{key[:40]}") == "a\n#"
    assert redacted(json.dumps({"pem": key})) == '{"pem": "#"}'


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"password":"hunter2"}', '{"password":"#"}'),
        (
            '{"a":{"b":[{"client_secret":"x\\"y","n":1}]}}',
            '{"a":{"b":[{"client_secret":"#","n":1}]}}',
        ),
        ('{"apiKey" : "abc", "b": 1}', '{"apiKey" : "#", "b": 1}'),
        ('{"token":\n  "abc"}', '{"token":\n  "#"}'),
        ('{"credentials":{"user":"}","x":[1,"]"]},"z":1}', '{"credentials":#,"z":1}'),
        ('{"pin": 1234, "b": 2}', '{"pin": #, "b": 2}'),
        ('{"pass\\u0077ord":"x"}', '{"pass\\u0077ord":"#"}'),
        (
            '{"text":"{\\"password\\": \\"a\\\\\\"b\\", \\"c\\": 1}"}',
            '{"text":"{\\"password\\": \\"#\\", \\"c\\": 1}"}',
        ),
        ('data: {"refresh_token":\ndata: "abc"}\n\n', 'data: {"refresh_token":\ndata: "#"}\n\n'),
        ("grant_type=x&client_secret=abc&b=1", "grant_type=x&client_secret=#&b=1"),
        ("user[password]=abc&b=1", "user[password]=#&b=1"),
        ("postgres://bob:s3cret@db/x", "postgres://#@db/x"),
        ("Authorization: Bearer abcdefgh123", "Authorization: Bearer #"),
        ("Proxy: BASIC Zm9vOmJhcmJheg==", "Proxy: BASIC #"),
    ],
)
def test_a_value_behind_a_telling_name_is_found(text: str, left: str) -> None:
    assert redacted(text) == left


@pytest.mark.parametrize(
    "text",
    [
        '{"max_tokens": 100, "prompt_tokens": 5, "total_tokens": 6}',
        '{"_meta": {"progressToken": "p1"}, "nextPageToken": "n"}',
        '{"code": 404, "message": "no such key", "key": "name"}',
        '{"password": null, "has_password": true}',
        "https://example.com/a:b@c is no login",
        "the secret of good tea is patience",
        '{"description": "the password is checked"}',
    ],
)
def test_what_only_looks_alike_stays(text: str) -> None:
    assert redacted(text) == text


def test_a_multipart_field_is_found_to_its_boundary() -> None:
    body = '--b\r\nContent-Disposition: form-data; name="password"\r\n\r\nhun\r\nter\r\n--b--'
    assert redacted(body) == body.replace("hun\r\nter", "#")


def test_a_value_that_is_cut_is_found_to_the_end() -> None:
    assert redacted('{"password":"hunt', cut=True) == '{"password":"#'
    assert redacted('{"secrets":{"a":"b', cut=True) == '{"secrets":#'
    assert redacted('name="password"\r\n\r\nhun', cut=True) == 'name="password"\r\n\r\n#'


NAMES = st.sampled_from(["password", "api_key", "accessToken", "client-secret", "Cookie"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(around=JSON, name=NAMES, depth=st.integers(0, 4), indent=st.sampled_from([None, 2]))
def test_no_json_hides_a_secret(around: object, name: str, depth: int, indent: int | None) -> None:
    value: object = {"before": around, name: 'canary "quoted" \\ value', "after": around}
    for _ in range(depth):
        value = [around, {"in": value}]
    text = json.dumps(value, indent=indent)
    assert "canary" not in redacted(text)
    cut = text[: text.index("canary") + 4]
    assert "cana" not in redacted(cut, cut=True)


@given(
    around=JSON.filter(lambda each: redacted(json.dumps({"x": each})) == json.dumps({"x": each})),
    name=NAMES,
    value=st.integers() | st.floats(allow_nan=False) | JSON,
    indent=st.sampled_from([None, 2]),
    nested=st.booleans(),
)
def test_json_without_its_secrets_is_still_json(
    around: object, name: str, value: object, indent: int | None, nested: bool
) -> None:
    text = json.dumps({"before": around, name: value, "after": [around]}, indent=indent)
    if nested:
        text = json.dumps({"text": text})
    left = json.loads(Redaction().text(text.encode())[0])
    if nested:
        left = json.loads(left["text"])
    kept = value if value is None or value == "" or isinstance(value, bool) else "[redacted]"
    assert left == {"before": around, name: kept, "after": [around]}


def test_a_number_across_parts_is_one_word_in_quotes() -> None:
    kept, count = Redaction().parts([b'{"pin": 12', b"34", b'56, "a": 1}'])
    assert json.loads(b"".join(kept)) == {"pin": "[redacted]", "a": 1}
    assert (kept, count) == ([b'{"pin": "[redacted]"', b"", b', "a": 1}'], 1)


@given(name=NAMES)
def test_no_json_in_a_json_string_hides_a_secret(name: str) -> None:
    text = json.dumps({"text": json.dumps({"a": [{name: "canary1 canary2"}], "b": 1})})
    assert "canary" not in redacted(text)


@pytest.mark.parametrize(
    "hostile",
    [
        b"eyJ" * 20_000,
        b'"token":"' * 7_000,
        b'{"password":{' * 5_000,
        b'"token"' + b" " * 60_000,
        b"://@" * 15_000,
        b"-----BEGIN PRIVATE KEY-----" * 2_000,
        b'name="token"\r\n' * 4_000,
        b'"a\\u0061' * 8_000,
        b"=" * 60_000,
        b'"\\' * 30_000,
    ],
)
def test_a_hostile_text_costs_no_more_than_others(hostile: bytes) -> None:
    began = time.thread_time()
    find_spans(hostile, cut=True)
    assert time.thread_time() - began < 1.0  # quadratic patterns took minutes


def test_every_telling_name_has_a_stem_by_which_it_is_found() -> None:
    for name in (b"X-Api-Key", b"clientSecret", b"samlResponse", b"request_uri", b"CVV", b"sig"):
        assert announces_secret_in_query(name)
        assert any(stem in name.lower() for stem in STEMS)


def test_header_names_are_judged_like_members() -> None:
    for name in (b"Authorization", b"COOKIE", b"Set-Cookie", b"Underpass-Token", b"X-Api-Key"):
        assert is_secret_field(name)
    for name in (b"Proxy-Authorization", b"X-Gitlab-Token", b"Cf-Access-Jwt-Assertion"):
        assert is_secret_field(name)
    for name in (b"Content-Type", b"Mcp-Session-Id", b"X-Request-Id", b"ETag"):
        assert not is_secret_field(name)
    assert not announces_secret(b"code")
