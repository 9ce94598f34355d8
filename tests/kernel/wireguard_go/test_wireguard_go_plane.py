"""The plane ``wireguard-go``; the cases are in tests/kernel/wireguard/cases.py."""

import contextlib
import os
import re
import signal
import time
from pathlib import Path

import pytest

from gateway.dataplane.wireguard.userspace import UserspaceBackend
from gateway.errors import PlaneUnsupportedError
from tests.kernel.pace import TEST_LIMIT
from tests.kernel.tap import Tap
from tests.kernel.traffic import Traffic
from tests.kernel.wireguard import cases
from tests.kernel.wireguard.sites import make_pair, make_plane

pytestmark = pytest.mark.timeout(TEST_LIMIT)

KIND = "wireguard-go"


class TestContract(cases.ContractCases):
    kind = KIND


class TestRotation(cases.RotationCases):
    kind = KIND


class TestLoss(cases.LossCases):
    kind = KIND


class TestFailClosed(cases.FailClosedCases):
    kind = KIND


class TestAdoption(cases.AdoptionCases):
    kind = KIND


class TestOwnership(cases.OwnershipCases):
    kind = KIND


class TestHeld(cases.HeldCases):
    kind = KIND


def pipes(files: Path) -> set[str]:
    """Return the pipes and sockets among a process's open files."""
    found = set()
    for link in files.iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(str(link.readlink()))
    return {name for name in found if name.startswith(("pipe:", "socket:"))}


class TestProcess:
    def test_a_killed_process_closes_the_tunnel_and_is_started_anew(self) -> None:
        with make_pair(KIND) as pair:
            pair.rotate()
            near = pair.near
            (device,) = re.findall(r"10\.2\.0\.0/24 dev (\S+)", near.routes())
            backend = near.plane._backend
            assert isinstance(backend, UserspaceBackend)
            os.kill(backend._processes._pids[device], signal.SIGKILL)
            with Tap(pair) as tap:
                time.sleep(0.3)
                assert near.poll().blocked
                assert not near.send_once(pair.far.inner)
            assert tap.leaks == 0
            pair.rotate()
            with Traffic(pair, 0.001) as traffic:
                time.sleep(0.3)
            assert traffic.lost == 0

    def test_it_outlives_us(self) -> None:
        """A child in a session of its own, holding none of our files."""
        with make_pair(KIND) as pair:
            backend = pair.near.plane._backend
            assert isinstance(backend, UserspaceBackend)
            for pid in backend._processes._pids.values():
                assert os.getsid(pid) == pid
                files = Path(f"/proc/{pid}/fd")
                for number in "012":
                    assert str((files / number).readlink()) == "/dev/null"
                assert not pipes(files) & pipes(Path("/proc/self/fd"))

    def test_no_program(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nonexistent")
        with pytest.raises(PlaneUnsupportedError) as caught:
            make_plane(KIND, "tother").open()
        assert caught.value.hint == "run: apt-get install wireguard-go"
