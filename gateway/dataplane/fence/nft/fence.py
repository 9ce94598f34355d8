"""`gateway.dataplane.fence.base.Fence` as a table of nftables."""

import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway.dataplane.fence.base import FencePlan, FenceState, Passage
from gateway.dataplane.fence.nft import constants as c
from gateway.dataplane.fence.nft.changes import (
    MARGIN,
    Grant,
    Passes,
    changes,
    passes_wanted,
    whole,
)
from gateway.dataplane.fence.nft.connection import NftConnection, NftError
from gateway.dataplane.fence.nft.counters import FenceCounters
from gateway.dataplane.fence.nft.notifications import NftNotifications
from gateway.dataplane.fence.nft.objects import (
    COVER,
    TABLE,
    new_table,
)
from gateway.dataplane.fence.nft.passes import (
    Pass,
    delete_passes,
    passes_of,
)
from gateway.dataplane.fence.nft.ranges import Names
from gateway.dataplane.fence.nft.renewal import Renewal
from gateway.dataplane.fence.nft.replacing import delete_if_there, replace_table
from gateway.dataplane.fence.nft.report import grants_found, report
from gateway.dataplane.fence.nft.standing import (
    Identity,
    Standing,
    Wanted,
    read_identity,
    read_standing,
    wanted_of,
)
from gateway.dataplane.fence.nft.trial import knows_owners, try_fence
from gateway.dataplane.refusals import kernel_call
from gateway.errors import DataPlaneError, PlaneConflictError

OWNED: Final = c.NFT_TABLE_F_OWNER | c.NFT_TABLE_F_PERSIST
"""While we live the kernel lets nobody else change the table, nor flush it with all
others; when we are gone it stays, and whoever comes next may have it (Linux 6.9)."""

NEEDS: Final = "load the modules nf_tables and nft_xfrm (Debian: linux-image-amd64)"


class NftFence:
    """The fence of one network namespace, kept by one process at a time."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        owned: bool = True,
        keeper: Path | None = None,
    ) -> None:
        """Open a socket and find out what the kernel can; no packet is touched yet.

        Args:
            clock: Monotonic seconds.
            owned: Whether to claim the table where the kernel knows owners.
            keeper: Folder of the keeper through whose socket to work, if it runs.

        Raises:
            PlaneUnsupportedError: The kernel lacks something.
            PlanePermissionError: CAP_NET_ADMIN is missing.
        """
        self._clock = clock
        self._wanted: Wanted | None = None
        self._standing: Standing | None = None
        self._identity: Identity | None = None
        self._grants: dict[str, Grant] = {}
        self._counters = FenceCounters()
        with kernel_call("open a socket to nftables", needs=NEEDS):
            self._connection = NftConnection(keeper)
        self._renewal = Renewal(self._connection, clock)
        self._flags = OWNED if owned else 0
        try:
            with kernel_call("make a fence of nftables", needs=NEEDS):
                self._try()
        except DataPlaneError:
            self.close()
            raise

    def close(self) -> None:
        """See `Fence.close`."""
        self._connection.close()

    def load(self, plan: FencePlan, before: FencePlan | None = None) -> None:
        """See `Fence.load`."""
        wanted = wanted_of(plan, before)
        grants = {
            name: grant for name, grant in self._grants.items() if name in wanted.names
        }
        with kernel_call("load the fence", needs=NEEDS):
            self._go(wanted, grants)

    def grant(self, name: str, passage: Passage, seconds: float) -> None:
        """See `Fence.grant`."""
        if self._wanted is None or name not in self._wanted.names:
            raise DataPlaneError(f"the fence knows no tunnel {name}")
        if seconds <= 0:
            self.revoke(name)
            return
        grant = Grant(passage, self._clock() + seconds)
        with kernel_call(f"let tunnel {name} pass the fence"):
            self._pass(name, self._wanted, grant)

    def revoke(self, name: str) -> None:
        """See `Fence.revoke`."""
        if self._wanted is not None and name in self._wanted.names:
            with kernel_call(f"close the fence to tunnel {name}"):
                self._pass(name, self._wanted, None)

    def repair(self, *, touched: bool) -> bool:
        """See `Fence.repair`."""
        wanted, believed = self._wanted, self._standing
        if wanted is None or believed is None:
            return False
        with kernel_call("restore the fence"):
            same = read_identity(self._connection) == self._identity
            if same and not touched:
                return False
            found = self._read()
            same = same and found is not None
            if found is not None and same and _is_alike(found, believed, self._clock()):
                return False
            self._rebuild(wanted, self._grants, found)
        return True

    def listen(self) -> NftNotifications | None:
        """See `Fence.listen`."""
        return None if self._flags else NftNotifications(self._connection.port)

    def read(self) -> FenceState:
        """See `Fence.read`."""
        with kernel_call("read the fence"):
            found = self._read()
        if found is None:
            return FenceState(present=False)
        return report(found, self._counters, self._clock())

    def remove(self) -> None:
        """See `Fence.remove`."""
        with kernel_call("remove the fence"):
            try:
                delete_if_there(self._connection, TABLE)
                delete_if_there(self._connection, COVER)
            except NftError as error:
                if error.errno == errno.EPERM:
                    raise self._forbidden() from None
                raise
        self._wanted = self._standing = self._identity = None
        self._grants.clear()

    # -- How

    def _try(self) -> None:
        if self._flags and not knows_owners(self._connection, self._flags):
            self._flags = 0
        if read_identity(self._connection) is not None:
            self._claim()
        else:
            try_fence(self._connection, self._flags)

    def _claim(self) -> None:
        """Give the keeper a table that an earlier owner left; nothing else changes."""
        if not self._flags or not self._connection.is_borrowed:
            return
        try:
            self._connection.transact([new_table(self._flags)])
        except NftError as error:
            # Another process owns it, or whoever made it did not mean it to be owned.
            if error.errno not in {errno.EPERM, errno.EOPNOTSUPP}:
                raise

    def _go(self, wanted: Wanted, grants: dict[str, Grant]) -> None:
        """Change the difference; or all of it, if the table is not as believed."""
        standing, known = self._standing, self._wanted
        if standing is None or known is None:
            found = self._read()
            if found is not None:
                grants = grants_found(found, wanted)
            self._rebuild(wanted, grants, found)
            return
        if standing.ranges != wanted.ranges:
            self._read()  # counters go with their sets
        passes = passes_wanted(wanted, grants, self._clock())
        frame = _frame_of(known) != _frame_of(wanted)
        step = changes(standing, wanted, passes, self._clock, frame=frame)
        try:
            self._connection.transact(step.filling)
            self._connection.transact(step.swapping())
        except NftError:
            self._rebuild(wanted, grants, self._read())
        else:
            self._note(wanted, grants, passes, step.names)

    def _rebuild(
        self, wanted: Wanted, grants: dict[str, Grant], found: Standing | None
    ) -> None:
        """Make all of it so, in place of what was read, if that can be."""
        passes = passes_wanted(wanted, grants, self._clock())
        table = new_table(self._flags)
        step = whole(found or Standing(), wanted, passes, self._clock)
        try:
            self._connection.transact([table, *step.filling])
            self._connection.transact(step.swapping())
        except NftError as error:
            if error.errno == errno.EPERM:
                raise self._forbidden() from None
            if read_identity(self._connection) is None:
                raise
            step = whole(Standing(), wanted, passes, self._clock)
            replace_table(self._connection, table, step)
        delete_if_there(self._connection, COVER)
        self._note(wanted, grants, passes, step.names)

    def _note(
        self, wanted: Wanted, grants: dict[str, Grant], passes: Passes, names: Names
    ) -> None:
        self._wanted, self._grants = wanted, grants
        self._standing = Standing(
            ranges=wanted.ranges,
            names=names,
            passes=passes,
            sets=frozenset(wanted.sets),
            homes=wanted.homes,
            home_sets=frozenset(wanted.home_sets),
        )
        self._identity = read_identity(self._connection)

    def _forbidden(self) -> OSError | DataPlaneError:
        """Return why the kernel forbids to change the table."""
        identity = read_identity(self._connection)
        if identity is None or not identity.flags & c.NFT_TABLE_F_OWNER:
            return NftError(errno.EPERM)
        return PlaneConflictError(
            f"table inet {TABLE} belongs to another process",
            "stop the other qgwd of this host (pgrep -a qgwd), or restart qgw-keeper",
        )

    def _read(self) -> Standing | None:
        found = read_standing(self._connection, self._clock())
        if found is not None:
            self._counters.note(found.counted)
        return found

    def _pass(self, name: str, wanted: Wanted, grant: Grant | None) -> None:
        """Replace one tunnel's grant."""
        standing = self._standing
        if standing is None:
            raise NftError(errno.ENOENT)
        if grant is None:
            self._grants.pop(name, None)
        else:
            self._grants[name] = grant
        prefixes = wanted.prefixes.get(name, ())
        passes = passes_of(prefixes, grant.passage) if grant is not None else ()
        now = self._clock()
        there = {
            each: ends_at
            for prefix in prefixes
            for each, ends_at in standing.passes.get(prefix, {}).items()
            if ends_at > now
        }
        going = [
            each
            for each, ends_at in there.items()
            if each not in passes and ends_at > now + MARGIN
        ]
        try:
            if grant is not None:
                self._renewal.renew(going, passes, there, grant.ends_at)
            else:
                self._connection.transact(list(delete_passes(going)))
        except NftError:
            self._rebuild(wanted, self._grants, self._read())
            return
        for prefix in prefixes:
            standing.passes.pop(prefix, None)
        for each in passes:
            ends_at = grant.ends_at if grant is not None else now
            standing.passes.setdefault(each.prefix, {})[each] = ends_at


def _frame_of(wanted: Wanted) -> tuple[object, ...]:
    """What decides how the rules of the table read."""
    return wanted.ports, wanted.sets, wanted.home_sets


def _is_alike(found: Standing, believed: Standing, now: float) -> bool:
    """Whether the kernel holds what we left there, but for what has ended since."""

    def alive(standing: Standing) -> set[Pass]:
        soon = now + MARGIN
        return {each for each, ends_at in standing.all_passes() if ends_at > soon}

    return (
        found.ranges == believed.ranges
        and found.names == believed.names
        and found.sets == believed.sets
        and found.homes == believed.homes
        and found.home_sets == believed.home_sets
        and not found.strange_chains
        and not found.strange_sets
        and alive(found) == alive(believed)
    )
