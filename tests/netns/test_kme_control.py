"""Another user of the host, at the control socket of the laboratory's KME."""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from doubles.kme_pair import KMEPair

from gateway.errors import KMEError
from gateway.kme.control import ControlSocket, call, run_call

OTHER = 65534

ASK = """
import socket, sys
made = socket.socket(socket.AF_UNIX)
made.settimeout(10)
made.connect(sys.argv[1])
body = b'{"mode": "503"}'
head = b"POST /misbehave HTTP/1.1\\r\\nHost: kme\\r\\nConnection: close\\r\\n"
made.sendall(head + b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body)
answer = b""
while part := made.recv(4096):
    answer += part
print(answer.split()[1].decode())
"""

LISTEN = """
import socket, sys
made = socket.socket(socket.AF_UNIX)
made.bind(sys.argv[1])
made.listen()
print("listening", flush=True)
made.accept()[0].recv(1)
"""


def as_other(code: str, path: Path) -> list[str]:
    setpriv = ["setpriv", f"--reuid={OTHER}", f"--regid={OTHER}", "--clear-groups"]
    return [*setpriv, sys.executable, "-I", "-c", code, str(path)]


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that everybody can enter, as pytest's own cannot be."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def test_another_user_steers_nothing(folder: Path) -> None:
    """Not even where the file's mode would let it."""
    async with KMEPair(folder / "pair") as pair:
        path = folder / "control.sock"
        control = ControlSocket(path, pair.alice)
        await control.start()
        path.chmod(0o666)
        found = await asyncio.to_thread(
            subprocess.run,
            as_other(ASK, path),
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        assert found.stdout.strip() == "403"
        assert pair.alice.misbehaviour.mode is None
        assert (await call(path, "POST", "misbehave", {"mode": "503"}))["misbehaviour"]
        await control.stop()


def test_another_users_listener_is_asked_nothing(folder: Path) -> None:
    inner = folder / "run"
    inner.mkdir(mode=0o777)
    inner.chmod(0o777)
    path = inner / "control.sock"
    with subprocess.Popen(  # noqa: S603  # our own text
        [*as_other(LISTEN, path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        try:
            assert other.stdout.readline() == "listening\n"
            inner.chmod(0o755)  # the name stays, made before
            with pytest.raises(KMEError, match=f"of user {OTHER} listens"):
                run_call(path, "POST", "misbehave", {"mode": "503"})
        finally:
            other.kill()
