"""kill -9 to relay nodes, as processes, at any step: no pad twice, and all heals."""

import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest

from gateway.errors import KeyUnavailableError
from gateway.keystore.base import KeyStanding
from gateway.keystore.sqlite.store import SQLiteKeyStore
from tests.kill.relay_evidence import Evidence, load
from tests.kill.relay_victim import ENDS, NAMES, STOCK, Place
from tests.underload.findings import never

ROOT = Path(__file__).parents[2]

SEED = os.environ.get("QGW_KILL_SEED", "7")
"""Draws the victims, moments and steps."""

ROUNDS = 40
"""Two kills each: some 30 seconds."""

HEALED = 10.0
"""Seconds from a node's start until both ends have new keys over both paths: most take
a third of one."""


@pytest.mark.timeout(700)
def test_no_pad_is_used_twice_and_both_ends_hold_the_same_keys(tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603 -- our own interpreter and words
        [
            *(sys.executable, "-m", "tests.kill.relay_network"),
            *(str(tmp_path), SEED, str(ROUNDS)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"seed {SEED}: {done.stderr}"
    report = json.loads(done.stdout)
    assert report["kills"] == {"outside": ROUNDS, "step": ROUNDS}
    place = Place(tmp_path, {}, {})
    evidence = load(place)
    stores = {name: place.store(name) for name in NAMES}
    try:
        check_pads(evidence, stores)
        check_logs(evidence, place)
        check_ends(stores)
    finally:
        for store in stores.values():
            store.close()
    assert max(report["healed"]) < HEALED, f"seed {SEED}: {report['healed']}"


def check_pads(evidence: Evidence, stores: dict[str, SQLiteKeyStore]) -> None:
    """One message a pad; what is on the wire is used up at its sender."""
    assert len(evidence.batches) > 2 * ROUNDS
    twice = [sent for sent, times in Counter(evidence.sent).items() if times > 1]
    never(twice, f"seed {SEED}: messages sent twice")
    assert len(evidence.captured) == len(set(evidence.captured))
    # Nothing passed that was not written down before.
    assert set(evidence.captured) <= set(evidence.sent)
    assert len(evidence.captured) > len(evidence.sent) // 2

    used = Counter((b.stock, key_id) for b in evidence.batches for key_id in b.used)
    never([one for one, times in used.items() if times > 1], f"seed {SEED}: pads twice")
    assert set(evidence.answer_keys().values()) == {1}, f"seed {SEED}"
    by_stock: dict[str, list[UUID]] = {}
    for stock, key_id in used:
        by_stock.setdefault(stock, []).append(key_id)
    for stock, key_ids in by_stock.items():
        standing = stores[stock[0]].ledger.standing(stock, key_ids)
        assert set(standing) == {KeyStanding.USED}, f"seed {SEED}: {stock}"


def check_logs(evidence: Evidence, place: Place) -> None:
    """What both ends got is what was sent, and no end got anything else."""
    right = evidence.keys()
    told: dict[str, list[list[str]]] = {"offered": [], "arrived": []}
    for name in ENDS:
        lines = [line.split() for line in place.log(name).read_text().splitlines()]
        assert not [line for line in lines if line[0] == "refused"]
        for word, found in told.items():
            found += [line[1:3] for line in lines if line[0] == word]
    for word, found in told.items():
        assert len(found) > ROUNDS
        key_ids = [key_id for key_id, _ in found]
        assert len(key_ids) == len(set(key_ids)), f"seed {SEED}: {word} twice"
        wrong = [one for one, digest in found if right.get(UUID(one)) != digest]
        assert not wrong, f"seed {SEED}: {word} with other bytes"
    offered, arrived = ({one for one, _ in told[word]} for word in told)
    # A destination may have died between its store and its log.
    missing = offered - arrived
    assert len(missing) < len(offered) // 10


def check_ends(stores: dict[str, SQLiteKeyStore]) -> None:
    """Every key an end would offer, the other holds; each is consumed once."""
    for name, other in ENDS.items():
        mine, theirs = stores[name], stores[other]
        waiting = set(mine.ledger.unconfirmed(STOCK, 10**6))
        held = mine.ledger.held(STOCK, after=None, count=10**6)
        confirmed = [key_id for key_id in held if key_id not in waiting]
        assert len(confirmed) > ROUNDS // 2
        assert set(theirs.ledger.standing(STOCK, confirmed)) == {KeyStanding.HELD}
        for key_id in confirmed:
            keys = []
            for store in (mine, theirs):
                assert (
                    store.uses.reserve_first(STOCK, [key_id], holder="x").key_id
                    == key_id
                )
                keys.append(store.uses.consume(STOCK, key_id, holder="x"))
            assert keys[0] == keys[1], f"seed {SEED}"
        for store, key_id in itertools.product((mine, theirs), confirmed[:5]):
            with pytest.raises(KeyUnavailableError):
                store.uses.consume(STOCK, key_id, holder="x")
