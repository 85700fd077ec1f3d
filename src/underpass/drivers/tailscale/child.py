"""The program that holds a door open on a tailscaled that somebody else runs.

A process of its own, so that its end, however it comes, ends the connection whose end takes the
door away. Its one word is the path of a file with what it shall hold; it prints JSON lines.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final

from underpass.drivers.observations import Carrying, Faltering, Observation, Refusal
from underpass.drivers.tailscale.local_api import Denied, LocalApi, Silent
from underpass.drivers.tailscale.serving import Wanted
from underpass.drivers.tailscale.session import OPERATOR_HINT, Refused, Session

NAME: Final = "underpass.drivers.tailscale.child"

_WORDS: Final = {"carrying": Carrying, "faltering": Faltering, "refusal": Refusal}

AWAY_HINT: Final = "start it: sudo systemctl start tailscaled"


def write_order(socket: str, wanted: Wanted) -> bytes:
    """What stands in the file."""
    return json.dumps({"socket": socket, "wanted": asdict(wanted)}).encode()


def read_line(line: str) -> Observation | None:
    """What a line of the program says; None for any other line. Pure."""
    try:
        (word, fields), *more = json.loads(line).items()
        return None if more else _WORDS[word](**fields)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def tell(found: Observation) -> None:
    """Print ``found`` as a line."""
    word = next(word for word, kind in _WORDS.items() if isinstance(found, kind))
    sys.stdout.write(json.dumps({word: asdict(found)}) + "\n")
    sys.stdout.flush()


async def hold(path: str, wanted: Wanted) -> None:
    """Hold it until killed, or until there is a reason to end, which is told."""
    async with LocalApi(path) as api:
        try:
            await Session(api, wanted, tell).hold()
        except Refused as refused:
            tell(refused.refusal)
        except Denied as denied:
            detail = f"tailscaled does not let this user look: {denied}"
            tell(Refusal("not-allowed", detail, OPERATOR_HINT, fatal=True))
        except Silent as silence:
            tell(Refusal("daemon-away", f"tailscaled is not there: {silence}", AWAY_HINT))


def main() -> int:
    """Read the order and carry it out; ends with 1, as there is no good end but to be killed."""
    order = json.loads(Path(sys.argv[1]).read_bytes())
    asyncio.run(hold(order["socket"], Wanted(**order["wanted"])))
    return 1


if __name__ == "__main__":
    sys.exit(main())
