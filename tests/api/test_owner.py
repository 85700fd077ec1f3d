from __future__ import annotations

import os
import pwd
import subprocess
import sys

import pytest

from underpass.api.owner import login_name

PRINT = "from underpass.api.owner import login_name; print(login_name())"


def test_the_owner_is_who_runs_this():
    assert login_name() == pwd.getpwuid(os.getuid()).pw_name


@pytest.mark.root
def test_a_user_whom_the_machine_does_not_know_has_a_number():
    """As in containers that run as any user."""
    code = f"import underpass.api.owner, os; os.setuid(4_000_001); {PRINT}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "uid-4000001\n"
