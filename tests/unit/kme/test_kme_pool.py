"""The pool: each key drawn once, delivered once, and durable before the answer."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from gateway.errors import KeyStoreError, KMEError
from gateway.kme.marks import (
    MAX_MARK,
    BehindError,
    DrawnKeys,
    Half,
    Marks,
    NotFoundError,
    NotNamedError,
)
from gateway.kme.pool import Pool

ROOT = Path(__file__).parents[3]


def open_pool(path: Path, own: Half = Half.BOB, max_waiting: int = 1000) -> Pool:
    return Pool(path / "pool" / "kme.db", f"link {own.name}", own, max_waiting)


def drawing(first: int, number: int = 4, units: int = 1, slave: str = "b") -> DrawnKeys:
    return DrawnKeys(first, number, units, 256 * units, "a", slave)


def alices(*indexes: int) -> list[int]:
    return [Half.ALICE.counter(index) for index in indexes]


def test_marks_survive_a_restart(tmp_path: Path) -> None:
    pool = open_pool(tmp_path)
    assert pool.merge(Marks(made=(10, 20))) == Marks((10, 20), (0, 0))
    pool.draw(drawing(3))
    pool.expect(drawing(5))
    pool.close()
    again = open_pool(tmp_path)
    assert again.marks == Marks((10, 20), (9, 7))
    assert again.marks.stock(Half.BOB) == 13
    assert again.waiting == 4
    again.close()


def test_marks_never_fall(tmp_path: Path) -> None:
    pool = open_pool(tmp_path)
    pool.merge(Marks((10, 20), (1, 2)))
    assert pool.merge(Marks((5, 30), (0, 3))) == Marks((10, 30), (1, 3))
    # What was drawn was made, whoever forgot it.
    assert pool.merge(Marks(drawn=(40, 0))).made == (40, 30)
    with pytest.raises(KeyStoreError, match="ends there"):
        pool.merge(Marks(made=(MAX_MARK + 1, 0)))
    with pytest.raises(KeyStoreError, match="ends there"):
        pool.expect(drawing(MAX_MARK - 1))
    assert pool.marks == Marks((40, 30), (40, 3))
    pool.close()


def test_keys_are_delivered_once(tmp_path: Path) -> None:
    pool = open_pool(tmp_path)
    pool.expect(drawing(0))
    assert pool.deliver("b", "a", alices(0, 2)) == [256, 256]
    for again in (alices(0), alices(2), alices(1, 2)):
        with pytest.raises(NotFoundError):
            pool.deliver("b", "a", again)
    pool.close()
    pool = open_pool(tmp_path)
    with pytest.raises(NotFoundError):
        pool.deliver("b", "a", alices(0))
    assert pool.waiting == 2
    assert pool.deliver("b", "a", alices(3, 1)) == [256, 256]
    assert pool.waiting == 0
    with pytest.raises(NotFoundError):
        pool.deliver("b", "a", alices(1))
    pool.close()


def test_all_or_none(tmp_path: Path) -> None:
    pool = open_pool(tmp_path)
    pool.expect(drawing(0))
    pool.expect(drawing(4, slave="c"))
    with pytest.raises(NotFoundError):
        pool.deliver("b", "a", alices(0, 100))
    with pytest.raises(NotNamedError):
        pool.deliver("b", "a", alices(0, 100, 4))
    with pytest.raises(NotFoundError):
        pool.deliver("b", "another master", alices(0))
    assert pool.deliver("b", "a", alices(0, 1)) == [256, 256]
    assert pool.deliver("c", "a", alices(4)) == [256]
    pool.close()


def test_keys_drawn_here_are_for_the_other_end(tmp_path: Path) -> None:
    pool = open_pool(tmp_path)
    pool.draw(drawing(0))
    with pytest.raises(NotNamedError):
        pool.deliver("b", "a", [Half.BOB.counter(3)])
    with pytest.raises(NotFoundError):
        pool.deliver("b", "a", [Half.BOB.counter(4)])
    pool.close()


def test_long_keys_take_several_indexes(tmp_path: Path) -> None:
    pool = open_pool(tmp_path)
    pool.expect(drawing(8, number=3, units=4))
    assert pool.marks.drawn == (20, 0)
    with pytest.raises(NotFoundError):
        pool.deliver("b", "a", alices(9))
    assert pool.deliver("b", "a", alices(16, 8)) == [1024, 1024]
    pool.close()


def test_nothing_is_drawn_twice(tmp_path: Path) -> None:
    pool = open_pool(tmp_path)
    pool.expect(drawing(10))
    for first in (0, 10, 13):
        with pytest.raises(BehindError) as caught:
            pool.expect(drawing(first))
        assert caught.value.drawn == 14
    pool.expect(drawing(14))
    assert pool.waiting == 8
    pool.close()


def test_the_oldest_that_nobody_fetches_are_dropped(tmp_path: Path) -> None:
    pool = open_pool(tmp_path, max_waiting=10)
    for first in range(0, 40, 4):
        pool.expect(drawing(first))
        assert pool.waiting <= 10
    with pytest.raises(NotFoundError):
        pool.deliver("b", "a", alices(31))
    assert pool.deliver("b", "a", alices(32, 39)) == [256, 256]
    pool.close()


def test_a_pool_of_another_link_or_end_is_refused(tmp_path: Path) -> None:
    open_pool(tmp_path).close()
    with pytest.raises(KMEError, match="another seed"):
        open_pool(tmp_path, Half.ALICE)


def test_two_processes_cannot_share_a_pool(tmp_path: Path) -> None:
    pool = open_pool(tmp_path)
    with pytest.raises(KMEError, match="another process") as caught:
        open_pool(tmp_path)
    assert "systemctl status qgw-kme" in caught.value.hint
    pool.close()


def test_a_strange_database_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "pool"
    folder.mkdir(mode=0o700)
    with sqlite3.connect(folder / "kme.db") as connection:
        connection.execute("CREATE TABLE keys (key TEXT)")
    connection.close()
    (folder / "kme.db").chmod(0o600)
    with pytest.raises(KMEError, match="no key pool"):
        open_pool(tmp_path)


class PoolMachine(RuleBasedStateMachine):
    """Draws, deliveries and restarts in any order, against a plain set of keys."""

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(os.environ["PYTEST_POOLS"]) / os.urandom(8).hex()
        self.path.mkdir()
        self.pool = open_pool(self.path)
        self.waiting: dict[int, tuple[str, int]] = {}
        self.delivered: list[tuple[int, str]] = []
        self.next = 0

    def teardown(self) -> None:
        self.pool.close()

    @rule(skip=st.integers(0, 3), number=st.integers(1, 9), units=st.integers(1, 3))
    def draw(self, skip: int, number: int, units: int) -> None:
        made = drawing(self.next + skip, number, units, "bc"[number % 2])
        self.pool.expect(made)
        self.waiting |= dict.fromkeys(made.indexes, (made.slave, made.size))
        self.next = made.end

    @rule(back=st.integers(1, 20))
    def draw_again(self, back: int) -> None:
        if back <= self.next:
            with pytest.raises(BehindError):
                self.pool.expect(drawing(self.next - back, 30))

    @rule(indexes=st.sets(st.integers(0, 60), min_size=1), slave=st.sampled_from("bc"))
    def fetch(self, indexes: set[int], slave: str) -> None:
        asked = sorted(indexes)
        held = [self.waiting.get(index) for index in asked]
        if all(entry is not None and entry[0] == slave for entry in held):
            sizes = self.pool.deliver(slave, "a", alices(*asked))
            assert sizes == [entry[1] for entry in held if entry]
            self.take(asked)
        else:
            with pytest.raises((NotFoundError, NotNamedError)):
                self.pool.deliver(slave, "a", alices(*asked))

    @rule()
    def fetch_all_of_one(self) -> None:
        for slave in "bc":
            mine = [i for i, (named, _) in self.waiting.items() if named == slave]
            if mine:
                assert len(self.pool.deliver(slave, "a", alices(*mine))) == len(mine)
                self.take(mine)

    def take(self, indexes: list[int]) -> None:
        for index in indexes:
            slave, _ = self.waiting.pop(index)
            self.delivered.append((index, slave))

    @rule(place=st.integers(0, 100))
    def fetch_one(self, place: int) -> None:
        if self.waiting:
            index = sorted(self.waiting)[place % len(self.waiting)]
            slave, size = self.waiting[index]
            assert self.pool.deliver(slave, "a", alices(index)) == [size]
            self.take([index])

    @rule(place=st.integers(0, 100))
    def fetch_again(self, place: int) -> None:
        if self.delivered:
            index, slave = self.delivered[place % len(self.delivered)]
            with pytest.raises(NotFoundError):
                self.pool.deliver(slave, "a", alices(index))

    @rule()
    def restart(self) -> None:
        self.pool.close()
        self.pool = open_pool(self.path)

    @invariant()
    def counts(self) -> None:
        assert self.pool.waiting == len(self.waiting)
        assert self.pool.marks.drawn[Half.ALICE] == self.next


def test_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_POOLS", str(tmp_path))
    run_state_machine_as_test(
        PoolMachine,
        settings=settings(max_examples=60, stateful_step_count=30, deadline=None),
    )


VICTIM = """
import sys
from pathlib import Path
from gateway.kme.marks import DrawnKeys, Half
from gateway.kme.pool import Pool
pool = Pool(Path(sys.argv[1]), "link", Half.BOB, 100000)
index = pool.marks.drawn[Half.ALICE]
while True:
    pool.expect(DrawnKeys(index, 4, 1, 256, "a", "b"))
    counters = [Half.ALICE.counter(index + place) for place in range(2)]
    pool.deliver("b", "a", counters)
    print(index, flush=True)  # the answer
    index += 4
"""


def test_what_was_answered_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "pool" / "kme.db"
    answered: set[int] = set()
    for kill_after in (1, 7, 20):
        victim = subprocess.Popen(  # noqa: S603  # our own interpreter
            [sys.executable, "-c", VICTIM, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert victim.stdout is not None
        seen = [int(victim.stdout.readline()) for _ in range(kill_after)]
        victim.send_signal(signal.SIGKILL)
        rest, _ = victim.communicate(timeout=10)
        seen += [int(line) for line in rest.splitlines(keepends=True) if "\n" in line]
        assert not answered & set(seen)
        answered |= set(seen)
        pool = Pool(path, "link", Half.BOB, 100000)
        assert pool.marks.drawn[Half.ALICE] >= max(answered) + 4
        for index in seen:
            with pytest.raises(NotFoundError):
                pool.deliver("b", "a", alices(index))
            assert pool.deliver("b", "a", alices(index + 2)) == [256]
        pool.close()
