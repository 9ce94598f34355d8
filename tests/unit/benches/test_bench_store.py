"""The key store's bench works, at a size that is no measurement."""

from pathlib import Path

from benches.registry import Options
from benches.store import BENCH, FEW, file_system, measure


def test_measures_every_figure_it_names(tmp_path: Path) -> None:
    said: list[str] = []
    options = Options(frozenset(BENCH.names), quick=True, say=said.append)
    figures = {
        figure.name: figure for figure in measure(tmp_path, 40 * FEW, 2, options)
    }
    assert set(figures) == set(BENCH.names)
    assert all(figure.value is not None for figure in figures.values())
    assert said
    floor = figures["store_commit_floor_per_s"].value
    rate = figures["store_ops_per_s.10"].value
    assert floor is not None
    assert rate is not None
    assert floor > 0
    assert rate > 0
    for name in ("store_ops_per_s.10", "store_ops_per_s.1000000"):
        assert figures[name].more_is_better
        assert file_system(tmp_path) in figures[name].note
    for name in ("store_slowdown", "store_open_s.1000000", "store_bytes_per_key"):
        assert figures[name].target is not None
        assert not figures[name].more_is_better
