"""Trials of this kernel: transactions that are never ended, and so change nothing."""

import errno
from typing import Final

from gateway.dataplane.fence.nft.connection import NftConnection, NftError
from gateway.dataplane.fence.nft.frame import frame_messages
from gateway.dataplane.fence.nft.objects import TABLE, new_table
from gateway.dataplane.fence.nft.ranges import FIRST, filled_sets
from gateway.dataplane.fence.nft.standing import NOTHING

_LACKING: Final = frozenset({errno.ENOENT, errno.EINVAL})
"""Answers to the trial that mean, too: this kernel does not have that."""


def try_fence(connection: NftConnection, flags: int) -> None:
    """Ask whether the kernel would make the table.

    Raises:
        NftError: It would not; with EOPNOTSUPP if it lacks something.
    """
    table = new_table(flags)
    sets = filled_sets(FIRST, NOTHING)
    try:
        connection.transact(
            [table, *sets, *frame_messages((), (), (), FIRST)], trial=True
        )
    except NftError as error:
        if error.errno in _LACKING:
            raise NftError(errno.EOPNOTSUPP) from None
        raise


def knows_owners(connection: NftConnection, flags: int) -> bool:
    """Ask whether tables have owners, as `flags` say.

    Raises:
        NftError: The kernel refused for another reason.
    """
    try:
        connection.transact([new_table(flags, f"{TABLE}-trial")], trial=True)
    except NftError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return False
    return True
