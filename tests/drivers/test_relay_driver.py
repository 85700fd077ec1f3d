from __future__ import annotations

from pathlib import Path

import pytest

from underpass.drivers.errors import EngineOptionInvalid
from underpass.drivers.plans import Site
from underpass.drivers.relay_driver import RelayDriver
from underpass.model.spec import parse_spec


def test_an_option_is_refused_and_not_overlooked(tmp_path: Path) -> None:
    site = Site("tools", tmp_path, options={"url": "https://relay.example.com"})
    with pytest.raises(EngineOptionInvalid) as caught:
        RelayDriver().plan(parse_spec("3001"), site)
    assert caught.value.message == (
        "cannot use the option 'url' of relay: "
        "it takes none: --relay, --relay-ca and --relay-fingerprint say which relay"
    )
