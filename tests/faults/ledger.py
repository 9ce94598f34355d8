"""What both ends committed over all lives of their daemons, and what must hold of it.

A daemon writes its state file, then the log line that is read here, and only then
lets M4 leave. So, whatever was killed when:

1. No end commits two epochs with one QKD key.
2. Numbers of epochs only grow at an end. One whose state directory was replaced by an
   old copy may begin again above that copy's.
3. Whatever the initiator committed, the responder committed before: the same number,
   the same sources, the same key. The reverse does not hold: the initiator may have
   died, or M4 may have been lost; then that number and that key are never used again
   at the initiator.
4. Each end's key store has marked as used what that end has committed since its state
   was last restored.
"""

import itertools
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from gateway.keystore.sqlite.schema import CONSUMED

RESTORED = "=== state directory restored ==="
"""Line that the test writes into a gateway's log where it replaced its state."""

_COMMITTED = re.compile(
    r"event=committed .*: epoch (\d+) committed from (.+?)"
    r"(?:, QKD key ([0-9a-f-]{36}))?$"
)


@dataclass(frozen=True, slots=True)
class Commit:
    """One epoch at one end."""

    epoch: int
    sources: str
    key_id: str | None


def read_lineages(log: Path) -> list[list[Commit]]:
    """Return the commits of a log, split where an old state was restored."""
    lineages: list[list[Commit]] = [[]]
    for line in log.read_text().splitlines():
        if line == RESTORED:
            lineages.append([])
        elif match := _COMMITTED.search(line):
            epoch, sources, key_id = match.groups()
            lineages[-1].append(Commit(int(epoch), sources, key_id))
    return lineages


def find_violations(initiator: Path, responder: Path) -> list[str]:
    """Return every breach of the rules above, one line each."""
    wrong: list[str] = []
    ours, theirs = read_lineages(initiator), read_lineages(responder)
    for letter, lineages in (("a", ours), ("b", theirs)):
        wrong += [f"{letter}: {text}" for text in _reused_keys(lineages)]
        for lineage in lineages:
            wrong += [f"{letter}: {text}" for text in _not_growing(lineage)]
    answered = {commit for lineage in theirs for commit in lineage}
    wrong += [
        f"a committed {commit}, and b did not"
        for lineage in ours
        for commit in lineage
        if commit not in answered
    ]
    return wrong


def find_unmarked(log: Path, store: Path) -> list[str]:
    """Return the key_IDs that a stopped gateway committed and did not mark as used."""
    committed = read_lineages(log)[-1]
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT key_id FROM key WHERE state = ?", (CONSUMED,))
        used = {str(UUID(bytes=key_id)) for (key_id,) in rows}
    return [
        commit.key_id
        for commit in committed
        if commit.key_id and commit.key_id not in used
    ]


def _reused_keys(lineages: list[list[Commit]]) -> list[str]:
    first: dict[str, int] = {}
    wrong = []
    for commit in (commit for lineage in lineages for commit in lineage):
        if commit.key_id is None:
            wrong.append(f"epoch {commit.epoch} has no QKD key")
        elif commit.key_id in first:
            wrong.append(
                f"epochs {first[commit.key_id]} and {commit.epoch} both used QKD key "
                f"{commit.key_id}"
            )
        else:
            first[commit.key_id] = commit.epoch
    return wrong


def _not_growing(lineage: list[Commit]) -> list[str]:
    return [
        f"epoch {after.epoch} was committed after epoch {before.epoch}"
        for before, after in itertools.pairwise(lineage)
        if after.epoch <= before.epoch
    ]
