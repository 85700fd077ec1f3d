"""Which OpenSSH is here, judged by what it says of itself; pure."""

from __future__ import annotations

import pytest

from underpass.drivers.ssh.detection import judge

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("said", "version", "why"),
    [
        ("OpenSSH_9.2p1 Debian-2+deb12u7, OpenSSL 3.0.17 1 Jul 2025", "OpenSSH_9.2p1", ""),
        ("OpenSSH_10.0p2, LibreSSL 3.3.6", "OpenSSH_10.0p2", ""),
        ("OpenSSH_7.6p1 Ubuntu-4", "OpenSSH_7.6p1", ""),
        ("OpenSSH_7.5p1, OpenSSL 1.0.2k", "OpenSSH_7.5p1", "it is older than OpenSSH 7.6"),
        ("Dropbear v2022.83", "", "/usr/bin/ssh does not say that it is OpenSSH"),
        ("", "", "/usr/bin/ssh does not say that it is OpenSSH"),
    ],
)
def test_a_version_is_read_and_an_old_or_foreign_ssh_refused(
    said: str, version: str, why: str
) -> None:
    found = judge("/usr/bin/ssh", ["a warning of the locale", said])
    assert (found.version, found.why_not) == (version, why)
    assert found.is_usable == (why == "")
    assert bool(found.hint) == (why != "")
