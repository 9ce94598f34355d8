"""One target in a process of its own: its folders, its bounds, what it said."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.target import CORPUS, load

ROOT = Path(__file__).resolve().parents[2]

WORK = ROOT / ".cache" / "fuzz"
"""Where corpora grow from run to run, and what was found lies."""

INPUT_SECONDS = 10
"""One input that takes longer is a finding: most take a millisecond, and the machine
that this runs on may be busy."""

MAX_MEGABYTES = 1024
"""So is one that takes more memory than this; the code itself takes some 100."""

MEMORY = Path("/dev/shm")  # noqa: S108  # a name that nobody can guess, within
"""For a target's files: libFuzzer ends the process before it can clean up."""

START_SECONDS = 120
"""For the imports, which are instrumented, and for the end."""

FIXED_SEED = 1
"""Where a run must not depend on luck: a busy machine goes less far on the same way."""

_BRANCHES = re.compile(rb"\bcov: (\d+) .*\bcorp: (\d+)")
_INPUTS = re.compile(rb"stat::number_of_executed_units:\s*(\d+)")


@dataclass(frozen=True, slots=True)
class Run:
    """How a target fared.

    Attributes:
        name: The target.
        seconds: How long it ran.
        inputs: How many inputs it took.
        branches: Edges of our code that they went through, as libFuzzer counts.
        corpus: Inputs kept, since each went somewhere new.
        found: Files with the inputs that broke it.
        failed: Whether it was broken, or did not run to its end.
        log: What it said.
    """

    name: str
    seconds: float
    inputs: int
    branches: int
    corpus: int
    found: tuple[Path, ...]
    failed: bool
    log: Path


def fuzz(name: str, seconds: int, *, fixed: bool = False) -> Run:
    """Fuzz one target for a while, from its seeds, its corpus and what grew before.

    A ``fixed`` run makes the same choices each time, from what nothing grew.
    """
    target = load(name)
    grown, seeds, found = (WORK / name / part for part in ("grown", "seeds", "found"))
    if fixed:
        shutil.rmtree(grown, ignore_errors=True)
    for folder in (grown, seeds, found):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (seeds / f"{number:03}").write_bytes(seed)
    words = WORK / name / "words"
    words.write_text("".join(f'"{_escape(word)}"\n' for word in target.words))
    before = set(found.iterdir())
    log = WORK / name / "log"
    command = (
        *(sys.executable, "-m", "fuzzing.child", name),
        *(str(folder) for folder in (grown, seeds, CORPUS / name) if folder.is_dir()),
        f"-max_total_time={seconds}",
        f"-timeout={INPUT_SECONDS}",
        f"-rss_limit_mb={MAX_MEGABYTES}",
        f"-max_len={target.max_size}",
        *((f"-dict={words}",) if target.words else ()),
        f"-artifact_prefix={found}/",
        "-print_final_stats=1",
        *((f"-seed={FIXED_SEED}",) if fixed else ()),
    )
    memory = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="qgw-fuzz-", dir=memory) as scratch:
        took, ended = _run(command, log, seconds, scratch)
    said = log.read_bytes()
    lines = _BRANCHES.findall(said)
    inputs = _INPUTS.search(said)
    branches, corpus = lines[-1] if lines else (0, 0)
    return Run(
        name,
        took,
        int(inputs[1]) if inputs else 0,
        int(branches),
        int(corpus),
        tuple(sorted(set(found.iterdir()) - before)),
        ended != 0,
        log,
    )


def _run(
    command: tuple[str, ...], log: Path, seconds: int, scratch: str
) -> tuple[float, int]:
    """Return how long it took, and how it ended."""
    path = f"{ROOT / 'tools'}:{ROOT}"
    started = time.monotonic()
    with log.open("wb") as file:
        try:
            ended = subprocess.run(
                command,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=dict(
                    os.environ, PYTHONPATH=path, TMPDIR=scratch, PYTHONHASHSEED="0"
                ),
                timeout=seconds + START_SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            ended = 1
    return time.monotonic() - started, ended


def _escape(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)
