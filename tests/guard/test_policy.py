"""What the user allows at most, and the file that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from underpass.guard.errors import PolicyInvalid
from underpass.guard.policy import Policy, PolicyForbids, load_policy, parse_policy
from underpass.model.errors_run import ForeignOwner, LooseMode
from underpass.model.errors_spec import NameInvalid, PublicNeedsDuration
from underpass.model.spec import parse_spec


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_without_a_policy_public_ends_within_the_hour() -> None:
    Policy().check(parse_spec("3001 --public --for 1h"))
    Policy().check(parse_spec("3001 --for 30d"))
    for line in ("3001 --public --for 1h1s", "3001 --public"):
        with pytest.raises(PublicNeedsDuration):
            Policy().check(parse_spec(line))


def test_policy_may_allow_more_or_nothing_in_public() -> None:
    Policy(public_limit=7200).check(parse_spec("3001 --public --for 2h"))
    with pytest.raises(PublicNeedsDuration, match="at most 2h"):
        Policy(public_limit=7200).check(parse_spec("3001 --public --for 3h"))
    with pytest.raises(PolicyForbids) as caught:
        Policy(allow_public=False).check(parse_spec("3001 --public --for 1m"))
    with pytest.raises(PolicyForbids) as open_path:
        Policy(allow_public=False).check(parse_spec("3001 --gate bearer --gate /x=open"))
    assert "paths without a gate" in open_path.value.message
    Policy(allow_public=False).check(parse_spec("3001 --gate bearer --gate /x=basic"))
    assert caught.value.to_dict() == {
        "code": "policy-forbids",
        "message": "cannot open a public tunnel: the policy says allow_public = false",
        "hint": "ask for less, or change policy.toml by hand",
        "retryable": False,
    }
    assert caught.value.exit_code == 4


def test_policy_bounds_every_lease_and_its_renewals() -> None:
    policy = Policy(longest_lease=86_400)
    spec = parse_spec("3001")
    policy.check(spec)
    policy.check_seconds(spec, 86_400)
    with pytest.raises(PolicyForbids, match="a tunnel for 1d1s: the policy says at most 1d"):
        policy.check_seconds(spec, 86_401)
    public = parse_spec("3001 --public --for 1h")
    with pytest.raises(PolicyForbids, match="at most 1h"):
        policy.check_seconds(public, 3_601)


def test_policy_checks_the_spec_too() -> None:
    with pytest.raises(NameInvalid):
        Policy().check(parse_spec("3001 --name UP"))


def test_a_policy_is_narrowed_and_never_widened() -> None:
    wide = Policy(public_limit=7200, longest_lease=100_000)
    tight = Policy(public_limit=60, longest_lease=200_000, allow_public=False)
    assert wide.narrowed(tight) == tight.narrowed(wide) == Policy(60, 100_000, False)


def test_a_policy_file_is_read(tmp_path: Path) -> None:
    text = 'public_limit = "4h"\nlongest_lease = "24h"\nallow_public = false\n'
    for mode in (0o600, 0o644):
        path = write(tmp_path / "policy.toml", text, mode)
        assert load_policy(path) == Policy(14_400, 86_400, False)
    assert load_policy(write(tmp_path / "empty.toml", "")) == Policy()
    assert load_policy(tmp_path / "missing.toml") == Policy()


def test_all_mistakes_of_a_policy_are_named_together(tmp_path: Path) -> None:
    path = write(
        tmp_path / "policy.toml", 'public_limit = 4\nallow_public = "no"\nlongest = "1h"\n'
    )
    with pytest.raises(PolicyInvalid) as caught:
        load_policy(path)
    assert str(caught.value) == (
        f"cannot follow the policy in {path}: "
        'public_limit: write a duration in quotes, like "2h"; '
        "allow_public: write true or false; "
        "longest: there is no such rule"
    )


@pytest.mark.parametrize("text", ["public_limit = ", 'public_limit = "soon"', "\x00"])
def test_an_unreadable_policy_is_never_the_default_one(tmp_path: Path, text: str) -> None:
    with pytest.raises(PolicyInvalid) as caught:
        load_policy(write(tmp_path / "policy.toml", text))
    assert caught.value.code == "policy-invalid"
    assert caught.value.exit_code == 2
    with pytest.raises(PolicyInvalid):
        load_policy(tmp_path)


@pytest.mark.parametrize("mode", [0o622, 0o666, 0o620, 0o602])
def test_a_policy_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(LooseMode, match=f"{mode:04o}"):
        load_policy(write(tmp_path / "policy.toml", "", mode))


def test_a_policy_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    path = write(tmp_path / "policy.toml", "")
    status = os.stat(path)
    theirs = os.stat_result((*status[:4], 12345, *status[5:]))
    monkeypatch.setattr(os, "fstat", lambda descriptor: theirs)
    with pytest.raises(ForeignOwner, match="12345"):
        load_policy(path)


def test_a_policy_bounds_what_may_be_recorded() -> None:
    policy = parse_policy({"capture": "heads"}, path="p")
    assert [policy.narrow_capture(wish) for wish in ("full", "heads", "off")] == [
        "heads",
        "heads",
        "off",
    ]
    assert policy.narrowed(Policy(capture="off")).capture == "off"
    with pytest.raises(PolicyInvalid, match="capture: write one of off, heads, full"):
        parse_policy({"capture": "all"}, path="p")


def test_danger_is_accepted_for_a_reason_unless_the_policy_rules_it_out() -> None:
    Policy().check_reason("shown to the class")
    strict = parse_policy({"accept_danger": False}, path="policy.toml")
    strict.check_reason("")
    for policy in (strict, Policy().narrowed(strict), strict.narrowed(Policy())):
        with pytest.raises(PolicyForbids) as caught:
            policy.check_reason("shown to the class")
        assert caught.value.message == (
            "cannot open what preflight refuses: the policy says accept_danger = false"
        )
    with pytest.raises(PolicyInvalid, match="accept_danger: write true or false"):
        parse_policy({"accept_danger": "no"}, path="policy.toml")
