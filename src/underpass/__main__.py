"""``python -m underpass``: the command line without a script on the path."""

from __future__ import annotations

import sys

from underpass.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
