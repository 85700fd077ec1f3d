"""What gunicorn imports: the application of ``seen``, told by a variable where to write."""

from __future__ import annotations

import os

import seen

seen.SEEN = os.environ["SEEN"]
app = seen.wsgi
