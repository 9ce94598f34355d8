"""kill -9 at any moment: no key is handed out twice, none that was used comes back."""

import hashlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.keystore.sqlite.store import SQLiteKeyStore
from tests.keystore_contract import LINK, make_key
from tests.kill.keystore_victim import MASTER_KEY
from tests.underload.findings import never

ROOT = Path(__file__).parents[2]

SEED = os.environ.get("QGW_KILL_SEED", "7")
"""Draws the lives and the operations; the moment of a kill is the scheduler's too."""

ROUNDS = 400
"""Kills: some 8 seconds."""


@pytest.mark.timeout(700)
def test_no_key_is_handed_out_twice(tmp_path: Path) -> None:
    path, handed_out = tmp_path / "store" / "keys.db", tmp_path / "handed-out"
    victim = (sys.executable, "-m", "tests.kill.keystore_victim")
    done = subprocess.run(  # noqa: S603 -- our own interpreter and words
        [*victim, str(path), str(handed_out), SEED, str(ROUNDS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"seed {SEED}: {done.stderr}"
    lines = handed_out.read_text().splitlines()
    rounds = [line for line in lines if line.startswith("round ")]
    assert len(rounds) == ROUNDS
    taken = [line.split() for line in lines if not line.startswith("round ")]
    key_ids = [key_id for key_id, _ in taken]
    never(len(key_ids) - len(set(key_ids)), f"seed {SEED}: keys used twice")
    assert len(key_ids) > ROUNDS, "too slow to have been killed at work"

    numbers = range(len(key_ids) * 10)
    right = {
        str(key.key_id): hashlib.sha256(key.key.expose()).hexdigest()
        for key in map(make_key, numbers)
    }
    wrong = [key_id for key_id, digest in taken if right.get(key_id) != digest]
    assert not wrong, f"seed {SEED}: other bytes than were imported"

    store = SQLiteKeyStore(path, MASTER_KEY)
    try:
        connection = store._opened.file.connection
        (integrity,) = connection.execute("PRAGMA integrity_check").fetchone()
        assert integrity == "ok"
        counted = connection.execute(
            "SELECT sum(state = 0), sum(state = 0 AND NOT confirmed), sum(state = 1),"
            " sum(state = 2) FROM key"
        ).fetchone()
        status = store.stocks.status(LINK)
        assert counted == (
            status.available,
            status.unconfirmed,
            status.consumed,
            status.expired,
        )
        held = store.ledger.held(LINK, after=None, count=10**6)
        # Confirmed ones first, then the others.
        offered = [store.uses.reserve(LINK, 10**6, holder="a") for _ in range(2)]
        left = {str(key_id) for key_id in itertools.chain(held, *offered)}
        assert len(left) == len(held) == status.available
        never(left & set(key_ids), f"seed {SEED}: used keys that came back")
        # A kill between recording a use and handing the key over loses that key.
        assert status.consumed >= len(key_ids)
        again = store.intake.add(LINK, [make_key(number) for number in numbers])
        refused = {refusal.key_id for refusal in again.refused}
        assert set(key_ids) <= refused, f"seed {SEED}: a used key was imported again"
    finally:
        store.close()
