from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.keystore.sqlite_bench import SQLiteBench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[SQLiteBench]:
    bench = SQLiteBench(tmp_path / "ours")
    yield bench
    bench.close()


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[SQLiteBench]:
    bench = SQLiteBench(tmp_path / "theirs")
    yield bench
    bench.close()
