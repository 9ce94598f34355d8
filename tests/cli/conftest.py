import asyncio
import copy
import io
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

import pytest

from gateway.cli.main import main
from gateway.control.schema import (
    Alert,
    LinkStatus,
    StatusResult,
    TunnelDetails,
    TunnelStatus,
)
from gateway.control.server import ControlServer, Handler

FINGERPRINT = "abcde-fghij-klmno-pqrst-uvwxy-z2345-67abc-defgh"


@dataclass(frozen=True, slots=True)
class Outcome:
    code: int
    out: str
    err: str


def qgw(*arguments: str) -> Outcome:
    """Run the command in this process, as the console script does."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(arguments)
    return Outcome(code, out.getvalue(), err.getvalue())


AS_USER: Final = """
import os, pwd, sys
import gateway.cli.main, gateway.cli.config, gateway.cli.check_as, gateway.cli.fence
import gateway.dataplane.fence.open, gateway.dataplane.fence.plan_file
found = pwd.getpwnam(sys.argv[1])
os.setgroups([]); os.setgid(found.pw_gid); os.setuid(found.pw_uid)
sys.exit(gateway.cli.main.main(sys.argv[2:]))
"""
"""All is imported first: that user may not see where we are."""


def qgw_as(name: str, *arguments: str) -> Outcome:
    """Run the command as another user of this host, which takes root."""
    # Another user cannot write coverage's files, and it would say so on stderr.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
    done = subprocess.run(  # noqa: S603  # our own
        (sys.executable, "-c", AS_USER, name, *arguments),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def a_tunnel(name: str = "paris", **changes: object) -> TunnelStatus:
    tunnel: dict[str, object] = {
        "name": name,
        "enabled": True,
        "started": True,
        "state": "up",
        "reason": "",
        "hint": "",
        "role": "initiator",
        "peer": FINGERPRINT,
        "endpoint": "192.0.2.1:51810",
        "peer_address": "192.0.2.1:51810",
        "plane": "esp",
        "interface": f"qgw-{name}",
        "suite": 1,
        "qkd": "required",
        "qkd_every": 1,
        "peer_qkd": "required",
        "peer_qkd_every": 1,
        "link": "alpha",
        "epoch": 42,
        "in_force": {"local": True, "peer": True, "since_s": 31.4},
        "sources": ["x25519", "ml-kem-768", "qkd", "chain"],
        "key_id": "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        "qkd_key": "fresh",
        "qkd_age": 0,
        "epoch_age_s": 31.9,
        "next_rotation_s": 89.0,
        "lifetime_left_s": 328.0,
        "rotations": 41,
        "failed_rotations": 0,
        "rx_bytes": 1_268_776,
        "tx_bytes": 148,
        "rx_packets": 1000,
        "tx_packets": 2,
        "received_ago_s": 3.2,
        "sent_ago_s": None,
        "last_failure": None,
        "failing": None,
        "faults": [],
    }
    return cast("TunnelStatus", tunnel | changes)


def details(name: str = "paris", **changes: object) -> TunnelDetails:
    """Return what ``tunnel.show`` answers for `a_tunnel`, on ESP."""
    real: dict[str, object] = {
        **a_tunnel(name),
        "local_address": "192.0.2.2",
        "local_subnets": ["10.1.0.0/16"],
        "remote_subnets": ["10.2.0.0/16", "fd02::/48"],
        "mtu": 1400,
        "devices": [
            {
                "name": f"qgw-{name}",
                "up": True,
                "addresses": ["10.255.1.1/30"],
                "mtu": 1400,
                "port": None,
                "public_key": "",
            }
        ],
        "sessions": [
            {
                "epoch": 42,
                "active": True,
                "device": f"qgw-{name}",
                "local": "192.0.2.2",
                "peer": "192.0.2.1",
                "spi_in": 0xC1DE0001,
                "spi_out": 0x00AB12CD,
                "peer_key": "",
            }
        ],
        "fence": {"dropped_out": 3, "dropped_in": 0, "granted_s": 328.0},
    }
    return cast("TunnelDetails", real | changes)


def an_alert(
    text: str,
    hint: str = "",
    severity: str = "warning",
    about: str = "gateway",
    name: str = "",
) -> Alert:
    """Return an alert of some kind."""
    alert: dict[str, str] = {
        "severity": severity,
        "kind": "some",
        "about": about,
        "name": name,
        "text": text,
        "hint": hint,
    }
    return cast("Alert", alert)


def a_link(name: str = "alpha", **changes: object) -> LinkStatus:
    link: dict[str, object] = {
        "link": name,
        "source": "file",
        "simulated": False,
        "available": 980,
        "unconfirmed": 0,
        "reserved": 1,
        "consumed": 41,
        "expired": 0,
        "rate_in": 0.0,
        "rate_out": 0.00833,
        "seconds_to_empty": 117_600.0,
        "low_water": 20,
        "alarm": "ok",
    }
    return cast("LinkStatus", link | changes)


def a_status(**changes: object) -> StatusResult:
    status: dict[str, object] = {
        "version": "0.1.0",
        "pid": 4711,
        "uptime_s": 11_100.0,
        "identity": {"fingerprint": FINGERPRINT, "suite": 1},
        "kem_provider": "openssl",
        "listen": ["0.0.0.0:51810", "[::]:51810"],
        "planes": [
            {"plane": "esp", "supported": True, "detail": ""},
            {"plane": "wireguard", "supported": False, "detail": "no module"},
        ],
        "dropped": {"bad-mac1": 3, "replay": 12, "truncated": 0},
        "tunnels": [a_tunnel()],
        "links": [a_link()],
        "fence": {"present": True, "reason": ""},
        "alerts": [],
        "warnings": [],
    }
    return cast("StatusResult", status | changes)


@dataclass
class Daemon:
    """Stands for qgwd: a real control server whose handlers are this test's."""

    path: Path
    answers: dict[str, object] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def handlers(
        self,
    ) -> dict[str, Callable[[Mapping[str, object]], Awaitable[object]]]:
        return {method: self._handler(method) for method in self.answers}

    def _handler(self, method: str) -> Handler:
        async def handle(params: Mapping[str, object]) -> object:
            self.calls.append((method, dict(params)))
            answer = self.answers[method]
            if callable(answer):
                answer = answer(params)
            if isinstance(answer, Exception):
                raise answer
            return copy.deepcopy(answer)

        return handle

    def qgw(self, *arguments: str) -> Outcome:
        return qgw("--socket", str(self.path), *arguments)


StartDaemon = Callable[..., Daemon]


@pytest.fixture
def start_daemon(tmp_path: Path) -> Iterator[StartDaemon]:
    """Return a function that starts a daemon with ``method=answer`` handlers."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    servers: list[ControlServer] = []

    def run(work: Awaitable[None]) -> None:
        async def wait() -> None:
            await work

        asyncio.run_coroutine_threadsafe(wait(), loop).result(10)

    def start(answers: dict[str, object]) -> Daemon:
        path = tmp_path / f"control{len(servers)}.sock"
        daemon = Daemon(path, answers)
        server = ControlServer(path, "root", daemon.handlers())
        run(server.start())
        servers.append(server)
        return daemon

    yield start
    for server in servers:
        run(server.stop())
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(autouse=True)
def _no_user_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "_QGW_COMPLETE", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    assert "_QGW_COMPLETE" not in os.environ
