"""The program `qgw-kme` as an operator has it: real processes, signals, kill -9."""

import asyncio
import contextlib
import io
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
from doubles.kme_pair import KMEPair

from gateway.errors import KMEError
from gateway.kme.control import ControlSocket, call, run_call
from gateway.kme.main import main
from gateway.kme.misbehaviour.modes import MODES
from gateway.kme.pki import TlsFiles
from tests.ports import free_ports
from tests.unit.kme.conftest import Call
from tests.unit.kme.sae import SAE
from tests.unit.planner.space.elements import VANGUARD

ROOT = Path(__file__).parents[3]
STARTUP = 60.0
"""Seconds; the machine may be busy."""


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def kme(*arguments: str | Path) -> Done:
    """Run a command that ends by itself, in this process: starting one takes long."""
    printed, complained, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complained):
        try:
            main([str(each) for each in arguments])
        except SystemExit as ended:
            code = int(str(ended.code or 0))
    return Done(code, printed.getvalue(), complained.getvalue())


def kme_process(*arguments: str | Path) -> Done:
    done = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-m", "gateway.kme.main", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=STARTUP,
        check=False,
        cwd=ROOT,
    )
    return Done(done.returncode, done.stdout, done.stderr)


class Running:
    """A KME in a process of its own, whose readiness systemd would be told of."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.log = config.parent / "stderr"
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = str(config.parent / "notify")
        Path(address).unlink(missing_ok=True)
        self.notified.bind(address)
        self.notified.settimeout(STARTUP)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603  # our own program
                [sys.executable, "-m", "gateway.kme.main", "run", "--config", config],
                stderr=log,
                cwd=ROOT,
                env={**os.environ, "NOTIFY_SOCKET": address},
            )

    def wait_for(self, line: str) -> None:
        while line not in self.notified.recv(4096).decode().splitlines():
            assert self.process.poll() is None, self.log.read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(timeout=STARTUP)
        self.notified.close()
        return code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A laboratory for one machine."""
    ports = free_ports(2)
    made = kme(
        "init",
        tmp_path / "lab",
        "--local",
        "--rate=256000",
        f"--alice-port={ports[0]}",
        f"--bob-port={ports[1]}",
        "--alice-host=127.0.0.1",
        "--bob-host=127.0.0.1",
    )
    assert made.returncode == 0, made.stderr
    assert f"https://127.0.0.1:{ports[0]}" in made.stdout
    return tmp_path / "lab"


@pytest.fixture
def running(folder: Path) -> Iterator[dict[str, Running]]:
    ends = {end: Running(folder / end / "kme.toml") for end in ("alice", "bob")}
    for each in ends.values():
        each.wait_for("READY=1")
    yield ends
    for each in ends.values():
        if each.process.poll() is None:
            each.stop(signal.SIGKILL)


def credentials(folder: Path, end: str, sae_id: str) -> TlsFiles:
    home = folder / end / sae_id
    return TlsFiles(home / "client.pem", home / "client.key", home / "ca.pem")


def status(folder: Path, end: str) -> dict[str, object]:
    return run_call(folder / end / "control.sock", "GET", "status")


async def test_a_laboratory_from_nothing(folder: Path, lab_sae: Call) -> None:
    """init, run, draw, fetch; kill -9 in between; nothing comes twice."""
    ends = {end: Running(folder / end / "kme.toml") for end in ("alice", "bob")}
    try:
        for each in ends.values():
            await asyncio.to_thread(each.wait_for, "READY=1")
        seen: dict[str, bytes] = {}
        for victim in ("alice", "bob", None):
            alice, bob = lab_sae("alice", "gw-a"), lab_sae("bob", "gw-b")
            await keys_in_stock(folder, 20)
            drawn = (await alice.draw("gw-b", 10)).keys
            assert not drawn.keys() & seen.keys()
            half = list(drawn)[:5]
            assert set((await bob.fetch("gw-a", *half)).keys) == set(half)
            seen |= drawn
            if victim is not None:
                await asyncio.to_thread(ends[victim].stop, signal.SIGKILL)
                ends[victim] = Running(folder / victim / "kme.toml")
                await asyncio.to_thread(ends[victim].wait_for, "READY=1")
            bob = lab_sae("bob", "gw-b")
            assert (await bob.fetch("gw-a", *half)).status == 400
            rest = {key_id: drawn[key_id] for key_id in drawn if key_id not in half}
            assert (await bob.fetch("gw-a", *rest)).keys == rest
    finally:
        codes = {end: each.stop() for end, each in ends.items()}
    assert codes == {"alice": 0, "bob": 0}
    for each in ends.values():
        text = each.log.read_text()
        assert "Traceback" not in text
        assert "NOT quantum keys" in text
        assert not (each.config.parent / "control.sock").exists()


async def test_kill_9_under_load(
    folder: Path, running: dict[str, Running], lab_sae: Call
) -> None:
    """What a master was given, its slave gets, once, whichever end dies when."""
    await keys_in_stock(folder, 300)
    drawn: dict[str, bytes] = {}
    stopping = asyncio.Event()

    async def draw_for_ever() -> None:
        while not stopping.is_set():
            try:
                answer = await lab_sae("alice", "gw-a").draw("gw-b", 2)
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
                continue
            if answer.status == 200:
                assert not answer.keys.keys() & drawn.keys()
                drawn.update(answer.keys)

    work = [asyncio.create_task(draw_for_ever()) for _ in range(3)]
    for victim in ("alice", "bob", "alice"):
        wanted = len(drawn) + 20
        for _ in range(1000):
            await asyncio.sleep(0.01)
            if len(drawn) >= wanted:
                break
        assert len(drawn) >= wanted
        await asyncio.to_thread(running[victim].stop, signal.SIGKILL)
        running[victim] = Running(folder / victim / "kme.toml")
        await asyncio.to_thread(running[victim].wait_for, "READY=1")
    stopping.set()
    await asyncio.gather(*work)
    bob = lab_sae("bob", "gw-b")
    key_ids = list(drawn)
    for place in range(0, len(key_ids), 50):
        asked = {key_id: drawn[key_id] for key_id in key_ids[place : place + 50]}
        assert (await bob.fetch("gw-a", *asked)).keys == asked
        assert (await bob.fetch("gw-a", *asked)).status == 400
    assert len(set(drawn.values())) == len(drawn)


async def keys_in_stock(folder: Path, count: int) -> None:
    for _ in range(150):
        shown = await call(folder / "alice" / "control.sock", "GET", "status")
        if int(str(shown["stored_key_count"])) >= count:
            return
        await asyncio.sleep(0.1)
    pytest.fail("no keys came")


@pytest.fixture
async def lab_sae(folder: Path, sae: Call) -> Call:
    """SAEs of the laboratory, by end and ID."""

    def make(end: str, sae_id: str) -> SAE:
        other = "bob" if end == "alice" else "alice"
        peers = tomllib.loads((folder / other / "kme.toml").read_text())
        return sae(credentials(folder, end, sae_id), peers["peer"]["url"])

    return make


def test_a_fault_of_its_own_ends_it(folder: Path, tmp_path: Path) -> None:
    """So that systemd starts it again: a KME without its link would look well."""
    script = tmp_path / "faulty.py"
    script.write_text(
        "from gateway.kme import constant, main\n"
        "def fail(self, now):\n"
        "    raise ZeroDivisionError('secret')\n"
        "constant.ConstantLink.blocks_due = fail\n"
        f"main.main(['run', '--config', {str(folder / 'alice' / 'kme.toml')!r}])\n"
    )
    done = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, script],
        capture_output=True,
        text=True,
        timeout=STARTUP,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1
    assert "a fault of the KME itself: ZeroDivisionError at" in done.stderr
    assert "secret" not in done.stderr


def test_commands(folder: Path, running: dict[str, Running]) -> None:
    config = folder / "bob" / "kme.toml"
    shown = kme("status", "--config", config)
    assert shown.returncode == 0
    assert "SIMULATED, not quantum keys" in shown.stdout
    assert "KME kme-bob (bob)" in shown.stdout
    as_json = json.loads(kme("status", "--json", "--config", config).stdout)
    assert as_json["simulated"] is True
    done = kme("misbehave", "--config", config, "slow", "--count", "2", "--delay", "1")
    assert "MISBEHAVES on purpose: slow, 2 more times" in done.stdout
    assert status(folder, "bob")["misbehaviour"] == "slow"
    assert status(folder, "alice")["misbehaviour"] is None
    assert "MISBEHAVES" not in kme("misbehave", "--config", config, "off").stdout
    # bob has alice switch it, who runs the model.
    kme("link", "--config", config, "eavesdrop", "on")
    shown = kme("status", "--config", folder / "alice" / "kme.toml")
    assert "ALARM: QBER 25%: someone listens" in shown.stdout
    assert running["alice"].process.poll() is None


def test_what_is_said_of_mistakes(folder: Path) -> None:
    config = folder / "bob" / "kme.toml"
    down = kme("status", "--config", config)
    assert down.returncode == 1
    assert "no KME answers at" in down.stderr
    assert "hint: start it" in down.stderr
    for arguments in (
        ("link", "eavesdrop"),
        ("link", "eavesdrop", "singapore"),
        ("link", "down", "on"),
        ("link", "overcast", "singapore"),
        ("link", "overcast", "--days", "7"),
        ("link", "up", "--days", "7"),
        ("misbehave",),
    ):
        assert kme(arguments[0], "--config", config, *arguments[1:]).returncode == 2
    again = kme("init", folder)
    assert (again.returncode, again.stderr) == (
        1,
        f"qgw-kme: {folder} is not empty\nhint: name a new folder\n",
    )
    config.write_text(config.read_text().replace("https", "http"))
    for run, command in ((kme, "check"), (kme_process, "run"), (kme, "status")):
        wrong = run(command, "--config", config)
        assert wrong.returncode == 78
        assert "peer.url: expected https://" in wrong.stderr
        assert "Traceback" not in wrong.stderr
    well = kme("check", "--config", folder / "alice" / "kme.toml")
    assert (well.returncode, well.stdout.partition(": ")[2]) == (
        0,
        "1 SAE: no problems\n",
    )
    config.unlink()
    assert kme("check", "--config", config).returncode == 78


def test_check_reads_the_elements_of_the_orbit(tmp_path: Path) -> None:
    folder = tmp_path / "sky"
    made = kme("init", folder, "--local")
    assert made.returncode == 0
    config = folder / "alice" / "kme.toml"
    config.write_text(
        config.read_text().replace(
            'model = "fibre"', 'model = "satellite"\ntle = "sat.tle"'
        )
    )
    wrong = kme("check", "--config", config)
    assert wrong.returncode == 1
    assert "sat.tle: no such file" in wrong.stderr
    (config.parent / "sat.tle").write_text(VANGUARD)
    stale = kme("check", "--config", config)
    assert stale.returncode == 1
    assert "the elements of VANGUARD 1 are" in stale.stderr
    assert "hint: get current elements" in stale.stderr
    assert "Traceback" not in stale.stderr


def test_modes_are_listed() -> None:
    listed = kme("misbehave", "--list")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(MODES)


def test_files_of_a_laboratory(folder: Path) -> None:
    open_to_others = {"ca.pem", "kme.toml"}
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        expected = 0o600
        if path.name in open_to_others and path.parent.name != "ca":
            expected = 0o644
        assert path.stat().st_mode & 0o777 == expected, path
    for path in folder.rglob("*"):
        if path.is_dir():
            assert path.stat().st_mode & 0o777 == 0o700
    names = sorted(
        str(path.relative_to(folder / "alice"))
        for path in files
        if "alice" in path.parts
    )
    assert names == [
        "ca.pem",
        "gw-a/ca.pem",
        "gw-a/client.key",
        "gw-a/client.pem",
        "kme.key",
        "kme.pem",
        "kme.toml",
        "link.seed",
    ]
    seeds = {(folder / end / "link.seed").read_bytes() for end in ("alice", "bob")}
    assert len(seeds) == 1


def test_a_port_that_is_taken(folder: Path, running: dict[str, Running]) -> None:
    config = folder / "alice" / "kme.toml"
    second = kme_process("run", "--config", config)
    assert second.returncode == 1
    assert "cannot listen at" in second.stderr
    assert running["alice"].process.poll() is None
    assert kme("status", "--config", config).returncode == 0


def test_without_descriptors_it_says_so_and_not_with_each_connection(
    folder: Path, running: dict[str, Running]
) -> None:
    alice = running["alice"]
    listen = tomllib.loads(alice.config.read_text())["kme"]["listen"]
    port = int(listen.rpartition(":")[2])
    resource.prlimit(alice.process.pid, resource.RLIMIT_NOFILE, (48, 48))
    with contextlib.ExitStack() as idle:
        for _ in range(200):
            opened = idle.enter_context(socket.socket())
            opened.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                opened.connect(("127.0.0.1", port))
        time.sleep(5.0)
    said = alice.log.read_text()
    assert "Too many open files" in said
    assert "Traceback" not in said
    assert len(said.splitlines()) < 20


def test_reload_by_signal(folder: Path, running: dict[str, Running]) -> None:
    alice = running["alice"]
    good = alice.config.read_text()
    alice.config.write_text(good.replace("ca.pem", "missing.pem"))
    alice.process.send_signal(signal.SIGHUP)
    alice.wait_for("READY=1")
    assert "not reloaded" in alice.log.read_text()
    alice.config.write_text(good + "\n[log]\nlevel = 'debug'\n")
    alice.process.send_signal(signal.SIGHUP)
    alice.wait_for("READY=1")
    log = alice.log.read_text()
    assert "certificates and SAEs read again" in log
    assert "only a restart applies: log_level" in log
    assert alice.stop() == 0


async def test_the_control_socket_is_the_owners(pair: KMEPair, tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    control = ControlSocket(path, pair.alice)
    await control.start()
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KMEError, match="another KME listens"):
        await ControlSocket(path, pair.bob).start()
    for what, order in (
        ("misbehave", {"mode": 3}),
        ("misbehave", {"mode": "nonsense"}),
        ("misbehave", {"mode": "503", "count": "many"}),
        ("misbehave", {"mode": "503", "delay": "long"}),
        ("misbehave", {}),
        ("link", {"action": "explode"}),
        ("link", {}),
    ):
        with pytest.raises(KMEError):
            await call(path, "POST", what, order)
    assert pair.alice.misbehaviour.mode is None
    shown = await call(path, "POST", "misbehave", {"mode": "503", "count": 7})
    assert (shown["misbehaviour"], shown["misbehaviour_left"]) == ("503", 7)
    await control.stop()
    assert not path.exists()


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
async def test_a_folder_that_others_write_is_no_place_for_it(
    pair: KMEPair, tmp_path: Path, mode: int
) -> None:
    """Whoever writes it could listen in the KME's place."""
    folder = tmp_path / "shared"
    folder.mkdir()
    path = folder / "control.sock"
    control = ControlSocket(path, pair.alice)
    await control.start()
    folder.chmod(mode)
    with pytest.raises(KMEError, match="that is no KME to trust") as caught:
        await call(path, "GET", "status")
    assert "0700" in caught.value.hint
    await control.stop()
    with pytest.raises(KMEError, match="others than the daemon's user can write"):
        await ControlSocket(path, pair.alice).start()
    assert not path.exists()


async def test_a_stale_socket_is_replaced_and_nothing_else(
    pair: KMEPair, tmp_path: Path
) -> None:
    path = tmp_path / "control.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    control = ControlSocket(path, pair.alice)
    await control.start()
    await control.stop()
    path.write_text("not a socket")
    with pytest.raises(KMEError, match="is no socket"):
        await ControlSocket(path, pair.alice).start()
    assert path.read_text() == "not a socket"
    with pytest.raises(KMEError, match="longer than"):
        await ControlSocket(tmp_path / ("x" * 120), pair.alice).start()
    with pytest.raises(KMEError, match="cannot make"):
        await ControlSocket(tmp_path / "none" / "x", pair.alice).start()
