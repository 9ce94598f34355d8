from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.keystore.sqlite_bench import SQLiteBench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[SQLiteBench]:
    bench = SQLiteBench(tmp_path / "store")
    yield bench
    bench.close()
