"""What is fuzzed: a reader of outsiders' bytes, and what must hold of it.

A target is a module in tests/fuzz/targets with a `TARGET`. Its `run` takes any bytes
and returns; whatever it raises is a finding. It keeps nothing for the next input.
"""

import atexit
import importlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent

CORPUS = HERE / "corpus"
"""Inputs to keep, a folder for each target: all that were findings once."""


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to fuzz.

    Attributes:
        about: What reads the bytes, and what is insisted on.
        run: Takes one input; raises nothing unless something is wrong.
        seeds: Makes inputs to begin with, the same ones every time.
        max_size: Bytes of an input at most.
        words: What may stand in inputs, for the fuzzer to try.
    """

    about: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    max_size: int
    words: tuple[bytes, ...] = ()


class Choices:
    """Makes decisions from an input's bytes, from its front; zeros once it ends."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def number(self, size: int = 1) -> int:
        """Take a number of so many bytes."""
        return int.from_bytes(self.take(size).ljust(size, b"\0"))

    def take(self, size: int) -> bytes:
        """Take so many bytes, or what is left."""
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def piece(self) -> bytes:
        """Take up to 255 bytes; the first says how many."""
        return self.take(self.number())

    def rest(self) -> bytes:
        """Take all that is left."""
        return self.take(len(self._data))


@cache
def scratch() -> Path:
    """Make a folder for this process's files."""
    folder = tempfile.TemporaryDirectory(prefix="qgw-fuzz-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def names() -> list[str]:
    """Name every target."""
    files = (HERE / "targets").glob("[a-z]*.py")
    return sorted(path.stem for path in files)


def load(name: str) -> Target:
    """Import a target."""
    target = importlib.import_module(f"tests.fuzz.targets.{name}").TARGET
    assert isinstance(target, Target)
    return target


def kept(name: str) -> Iterator[tuple[str, bytes]]:
    """Yield every seed and every kept input of a target, with what it is called."""
    for number, seed in enumerate(load(name).seeds()):
        yield f"seed {number}", seed
    for path in sorted((CORPUS / name).glob("*")):
        yield path.name, path.read_bytes()
