"""No tunnel leads to one of our own doors, however its origin is spelled."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from underpass.guard import control_ports
from underpass.guard.control_ports import ControlPorts, is_local
from underpass.model.errors_run import OwnControlPort
from underpass.model.origin import parse_origin

METRICS = "the metrics listener"


@pytest.fixture
def directory() -> Iterator[Path]:
    # not tmp_path: the paths of sockets are limited
    with tempfile.TemporaryDirectory(prefix="up-") as parent:
        yield Path(parent, "underpass")


@pytest.fixture
def doors(directory: Path) -> Iterator[ControlPorts]:
    with ControlPorts(directory) as made:
        yield made


def resolve(host: str, port: int) -> list[tuple[str, int]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(str(row[4][0]), int(row[4][1])) for row in found]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "127.0.0.2",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::]",
        "[::ffff:0.0.0.0]",
    ],
)
@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_every_spelling_of_this_machine_is_judged_after_resolution(
    doors: ControlPorts, host: str, bound: str
) -> None:
    doors.register(bound, 8801, METRICS)
    origin = parse_origin(f"{host}:8801")
    resolved = resolve(origin.host, origin.port)
    with pytest.raises(OwnControlPort) as caught:
        doors.check(origin, resolved)
    assert caught.value.code == "own-control-port"
    assert str(caught.value) == (
        f"cannot expose {origin}: it is the metrics listener of underpass itself"
    )
    doors.check(parse_origin(f"{host}:8802"), resolve(origin.host, 8802))


def test_a_foreign_name_that_leads_to_us_is_caught_by_any_of_its_addresses(
    doors: ControlPorts,
) -> None:
    doors.register("127.0.0.1", 8801, METRICS)
    origin = parse_origin("http://rebind.example:8801")
    doors.check(origin, [("203.0.113.7", 8801)])
    with pytest.raises(OwnControlPort):
        doors.check(origin, [("203.0.113.7", 8801), ("127.0.0.1", 8801)])


def test_a_door_bound_everywhere_is_met_on_every_address_of_the_machine(
    doors: ControlPorts,
) -> None:
    doors.register("0.0.0.0", 8801, METRICS)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # A datagram socket that is connected, and sends nothing, tells our own outer address.
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        mine = probe.getsockname()[0]
    assert doors.what_is(mine, 8801) == METRICS
    assert doors.what_is(f"::ffff:{mine}", 8801) == METRICS
    assert doors.what_is("203.0.113.7", 8801) is None


def test_a_door_on_one_outer_address_is_not_met_through_loopback(doors: ControlPorts) -> None:
    doors.register("203.0.113.7", 8801, METRICS)
    assert doors.what_is("203.0.113.7", 8801) == METRICS
    assert doors.what_is("127.0.0.1", 8801) is None
    assert doors.what_is("fe80::1%lo", 8801) is None


def test_what_is_local_the_kernel_says() -> None:
    from ipaddress import ip_address

    assert is_local(ip_address("127.0.0.1"))
    assert not is_local(ip_address("203.0.113.7"))


def test_a_released_door_is_an_ordinary_port_again(doors: ControlPorts) -> None:
    doors.register("127.0.0.1", 8801, METRICS)
    doors.release("127.0.0.1", 8801)
    doors.release("127.0.0.1", 8801)
    assert doors.what_is("127.0.0.1", 8801) is None


def test_control_sockets_are_refused_under_any_name(doors: ControlPorts, directory: Path) -> None:
    door = directory / "open-tools-1.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(door))
        outside = directory.parent
        (outside / "soft").symlink_to(door)
        os.link(door, outside / "hard")
        names = [
            door,
            outside / "soft",
            outside / "hard",
            directory / ".." / "underpass" / door.name,
        ]
        for scheme in ("unix", "tcp+unix"):
            for name in names:
                with pytest.raises(OwnControlPort, match="a control socket"):
                    doors.check(parse_origin(f"{scheme}://{name}"))


def test_other_sockets_are_nobodys_business(doors: ControlPorts, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "app.sock"))
        doors.check(parse_origin(f"unix://{tmp_path}/app.sock"))
    doors.check(parse_origin(f"unix://{tmp_path}/none.sock"))


OTHER = """
import sys
from pathlib import Path
from underpass.guard import control_ports
from underpass.guard.control_ports import ControlPorts
doors = ControlPorts(Path(sys.argv[1]))
doors.register("127.0.0.1", 8899, "the relay")
doors.register("127.0.0.1", 8898, "the relay's metrics")
print("ready", flush=True)
sys.stdin.read()
"""


def test_doors_of_other_processes_count_as_long_as_they_live(
    doors: ControlPorts, directory: Path
) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        assert doors.what_is("127.0.0.1", 8899) is None
        doors.reload()
        assert doors.what_is("127.0.0.1", 8899) == "the relay"
        assert doors.what_is("::1", 8898) == "the relay's metrics"
        other.kill()
        other.wait(10)
    assert len(list(directory.glob("*.doors"))) == 1
    doors.reload()
    assert doors.what_is("127.0.0.1", 8899) is None


def test_a_list_that_became_shorter_reads_well_before_it_is_cut() -> None:
    left_over = b'[["127.0.0.1", 8801, "the relay"]]"127.0.0.1", 8802'
    assert control_ports._parse(left_over) == [("127.0.0.1", 8801, "the relay")]


def test_closing_leaves_no_file(directory: Path) -> None:
    doors = ControlPorts(directory)
    doors.register("127.0.0.1", 8801, METRICS)
    (path,) = directory.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    doors.close()
    doors.close()
    assert list(directory.iterdir()) == []
    assert doors.what_is("127.0.0.1", 8801) is None


def test_a_file_of_nonsense_is_passed_over(directory: Path) -> None:
    import fcntl

    directory.mkdir(mode=0o700)
    path = directory / "1-x.doors"
    for data in (
        b"",
        b"\xff",
        b"{",
        b"{}",
        b"[1]",
        b'[["nowhere", 1, "x"]]',
        b'[["127.0.0.1", "y", "x"]]',
    ):
        path.write_bytes(data)
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with ControlPorts(directory) as doors:
                assert doors.what_is("127.0.0.1", 1) is None


def test_other_processes_doors_are_known_again_within_a_second(directory: Path) -> None:
    with ControlPorts(directory) as mine, ControlPorts(directory) as theirs:
        mine.refresh(100.0)
        theirs.register("127.0.0.1", 8801, METRICS)
        mine.refresh(100.9)
        assert mine.what_is("127.0.0.1", 8801) is None
        mine.refresh(101.0)
        assert mine.what_is("127.0.0.1", 8801) == METRICS
