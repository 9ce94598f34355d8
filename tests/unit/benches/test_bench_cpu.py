"""Clocks of other processes."""

import os
import subprocess
import sys
import time

import pytest
from benches.cpu import process_cpu, processes_cpu, session_pids


def test_own_clock_is_the_process_clock() -> None:
    before = time.process_time()
    seen = process_cpu(os.getpid())
    assert before <= seen <= time.process_time()


def test_reads_what_another_process_burns() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass\ninput()"
    child = subprocess.Popen(  # noqa: S603  # fixed
        [sys.executable, "-c", burn], stdin=subprocess.PIPE
    )
    try:
        until = time.monotonic() + 15
        while process_cpu(child.pid) < 0.3 and time.monotonic() < until:
            time.sleep(0.02)
        assert 0.3 <= process_cpu(child.pid) < 3.0
    finally:
        child.kill()
        child.wait()
    if child.stdin:
        child.stdin.close()
    with pytest.raises(ProcessLookupError):
        process_cpu(child.pid)
    assert processes_cpu([child.pid]) == 0.0


def test_session_holds_leader_and_child() -> None:
    script = "sleep 20 & echo $!; wait"
    leader = subprocess.Popen(  # noqa: S603  # fixed
        ["sh", "-c", script],  # noqa: S607  # the system's own
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert leader.stdout is not None
    child = int(leader.stdout.readline())
    try:
        assert {leader.pid, child} <= set(session_pids(leader.pid))
        assert os.getpid() not in session_pids(leader.pid)
    finally:
        os.kill(child, 15)
        leader.wait()
        leader.stdout.close()
