"""Every figure that was promised is there, and names mean what they say."""

import pytest
from benches.catalogue import BENCHES
from benches.figures import Figure
from benches.registry import (
    Bench,
    Options,
    UnknownFigureError,
    choose_names,
    run_benches,
)

KNOWN = [name for bench in BENCHES for name in bench.names]

PROMISED = [
    *(
        f"handshake_{kind}_ms.{suite}.{provider}"
        for kind in ("cpu", "floor")
        for suite in (1, 2)
        for provider in ("openssl", "liboqs")
    ),
    "handshake_datagrams.1",
    "handshake_bytes.1",
    *(f"hub_handshakes_per_s.{count}" for count in (1, 100, 5000)),
    *(f"hub_socket_handshakes_per_s.{count}" for count in (1, 100, 5000)),
    "tunnel_memory_kib",
    "reload_ms.1000",
    "lost.reload",
    "restore_s",
    "store_ops_per_s.10",
    "store_ops_per_s.1000000",
    "store_slowdown",
    "store_commit_floor_per_s",
    "store_import_per_s",
    "store_open_s.1000000",
    "store_bytes_per_key",
    *(f"relay_keys_per_s.{hops}" for hops in (1, 2, 5)),
    "relay_overhead_percent",
    *(f"route_ms.{paths}" for paths in (1, 2)),
    *(
        f"fence_cost{place}.{count}"
        for place in ("", "_one_cpu")
        for count in (1, 5000)
    ),
    *(
        f"fence_floor{place}.{count}"
        for place in ("", "_one_cpu")
        for count in (1, 5000)
    ),
    "fence_load_s",
    "setup_s",
    "setup_degraded_s",
    "lost.esp",
    "lost.wireguard",
    "lost.wireguard-go",
    "rotation_cpu_ms.esp",
    "rotation_cpu_ms.wireguard",
]


@pytest.mark.parametrize("name", PROMISED)
def test_is_there(name: str) -> None:
    assert name in KNOWN


def test_names_are_unique() -> None:
    assert len(KNOWN) == len(set(KNOWN))


def test_a_whole_name_means_itself_alone() -> None:
    assert choose_names(KNOWN, ["lost.wireguard"]) == {"lost.wireguard"}


def test_a_beginning_means_all_that_begin_so() -> None:
    assert choose_names(KNOWN, ["lost.w"]) == {"lost.wireguard", "lost.wireguard-go"}


def test_nothing_asked_means_all() -> None:
    assert choose_names(KNOWN, []) == set(KNOWN)


def test_an_unknown_name_is_refused_even_beside_a_known_one() -> None:
    with pytest.raises(UnknownFigureError, match="nonsense"):
        choose_names(KNOWN, ["setup_s", "nonsense"])


def test_only_benches_with_a_figure_asked_for_run() -> None:
    ran = []

    def bench(*names: str) -> Bench:
        def run(options: Options) -> list[Figure]:
            ran.append(names)
            return [Figure(name, 1.0, "s") for name in names]

        return Bench(names, run)

    options = Options(frozenset({"c"}), quick=True, say=print)
    figures = run_benches([bench("a", "b"), bench("c", "d")], options)
    assert ran == [("c", "d")]
    assert [figure.name for figure in figures] == ["c"]
