"""How a program is started so that it cannot outlive us: the words before its own.

A few lines of Python stand between fork and the program: they make it the leader of a process
group, ask the kernel for a signal when this process dies (Linux), then become the program. Doing
this in ``preexec_fn`` would run Python between fork and exec of a process that has threads, where
a lock held by another thread never opens.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Final

_LINES: Final = """\
import os, sys
parent, number, group, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
if group == "alone":
    os.setsid()
elif group == "grouped":
    os.setpgid(0, 0)
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, number, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(128 + number)
try:
    os.execvp(command[0], command)
except OSError as error:
    sys.stderr.write(f"{command[0]}: {error.strerror}\\n")
    os._exit(127 if isinstance(error, FileNotFoundError) else 126)
"""
# 126 and 127 are what shells answer for a command that cannot be run and one that is not found.


def launcher(
    on_parent_death: signal.Signals, *, alone: bool = False, placed: bool = False
) -> tuple[str, ...]:
    """The words to put before a program's own. Its signal mask and handlers are the defaults.

    ``alone``: without our terminal, on which it could ask for a password that nobody will type.
    ``placed``: whoever starts it has given it a session of its own already.
    """
    group = "placed" if placed else "alone" if alone else "grouped"
    facts = (str(os.getpid()), str(int(on_parent_death)), group)
    return (sys.executable, "-I", "-S", "-c", _LINES, *facts)
