"""The hundred faults are those that were meant, and the ledger sees what it must."""

from collections import Counter
from pathlib import Path

import pytest

from tests.faults.ledger import RESTORED, find_violations
from tests.faults.plan import AIMED, MAX_BURST, SHARES, Kind, draw_plan

KEYS = [f"7bbaf96a-3fd3-8070-800c-{number:012d}" for number in range(9)]


def committed(epoch: int, key: int, sources: str = "x25519 + qkd") -> str:
    return (
        f"2026-01-01 00:00:00,000 INFO event=committed tunnel=demo epoch={epoch}: "
        f"epoch {epoch} committed from {sources}, QKD key {KEYS[key]}\n"
    )


@pytest.fixture
def logs(tmp_path: Path) -> tuple[Path, Path]:
    first, second = tmp_path / "a", tmp_path / "b"
    text = "INFO: ready\n" + committed(1, 0) + committed(2, 1)
    first.write_text(text)
    second.write_text(text)
    return first, second


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def test_the_shares_are_a_hundred_and_all_drawn() -> None:
    assert sum(SHARES.values()) == 100
    plan = draw_plan(1, 100, lifetime=10, has_process=True)
    kinds = Counter(fault.kind for burst in plan for fault in burst.faults)
    assert dict(kinds) == SHARES


def test_a_seed_replays_and_another_differs() -> None:
    first, again, other = (
        draw_plan(seed, 100, lifetime=10, has_process=True) for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize("seed", range(20))
def test_bursts_can_be_carried_out(seed: int) -> None:
    plan = draw_plan(seed, 100, lifetime=10, has_process=False)
    for burst in plan:
        kinds = [fault.kind for fault in burst.faults]
        assert 1 <= len(kinds) <= MAX_BURST
        assert len(AIMED & set(kinds)) <= 1
        assert Kind.PLANE not in kinds
        assert Kind.CUT_LONG not in kinds[1:]


def test_two_honest_logs_pass(logs: tuple[Path, Path]) -> None:
    first, second = logs
    # M4 of epoch 3 was lost, then b was restored to what it was after epoch 1.
    append(second, committed(3, 2) + RESTORED + "\n" + committed(4, 3))
    append(first, committed(4, 3))
    assert find_violations(first, second) == []


@pytest.mark.parametrize(
    ("first_adds", "second_adds", "said"),
    [
        (committed(3, 1), committed(3, 1), "both used QKD key"),
        ("", committed(3, 0), "both used QKD key"),
        ("", RESTORED + "\n" + committed(3, 0), "both used QKD key"),
        (committed(2, 3), committed(2, 3), "after epoch 2"),
        (committed(3, 2), "", "b did not"),
        (committed(3, 2), committed(3, 3), "b did not"),
        (committed(3, 2), committed(3, 2, "x25519"), "b did not"),
    ],
)
def test_breaches_are_found(
    logs: tuple[Path, Path], first_adds: str, second_adds: str, said: str
) -> None:
    first, second = logs
    append(first, first_adds)
    append(second, second_adds)
    assert any(said in line for line in find_violations(first, second))


def test_an_epoch_without_a_key_is_a_breach(logs: tuple[Path, Path]) -> None:
    line = committed(3, 2).partition(", QKD key")[0] + "\n"
    for log in logs:
        append(log, line)
    assert "a: epoch 3 has no QKD key" in find_violations(*logs)
