"""A table that cannot be mended in place, replaced while a second one covers for it.

Of two chains of one hook a packet may meet the new one before it has rules, and the old
one when it has none. So the cover first gets all that ours is to hold
(docs/adr/0314).
"""

import errno
import time
from typing import Final

from gateway.dataplane.fence.nft.changes import TableStep
from gateway.dataplane.fence.nft.connection import NftConnection, NftError
from gateway.dataplane.fence.nft.objects import COVER, TABLE, delete_table, in_table

UNDER_WAY: Final = 0.05
"""Seconds for which a packet may look at chains that it found when it came; a thousand
times what it takes, for a processor that is withheld."""


def replace_table(connection: NftConnection, table: bytes, step: TableStep) -> None:
    """Delete our table and make it anew; leave the cover, for the caller to delete.

    Args:
        connection: The socket that may change it.
        table: What makes the table.
        step: What fills an empty one.

    Raises:
        NftError: The kernel refused; if it did halfway, the cover stands.
    """
    delete_if_there(connection, COVER)
    filling = [table, *step.filling]
    connection.transact([in_table(each, COVER) for each in filling])
    connection.transact([in_table(each, COVER) for each in step.swapping()])
    time.sleep(UNDER_WAY)
    connection.transact([delete_table(TABLE)])
    connection.transact(filling)
    connection.transact(step.swapping())
    time.sleep(UNDER_WAY)


def delete_if_there(connection: NftConnection, table: str) -> None:
    """Delete a table of ours with all in it.

    Raises:
        NftError: The kernel refused.
    """
    try:
        connection.transact([delete_table(table)])
    except NftError as error:
        if error.errno != errno.ENOENT:
            raise
