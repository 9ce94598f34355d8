"""``qgw-keeper``: keeps the socket that owns the fence, and does nothing else.

The daemon, ``qgw fence load`` and ``qgw fence remove`` borrow it to change the table.
So the table has an owner while none of them runs, and ``nft flush ruleset`` leaves it.
systemd holds a copy for the time in which this process itself is dead.

It imports little and never reads from the socket: it is to stay small, and to have
nothing to fail at.
"""

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Final

from gateway.dataplane.fence.nft.connection import open_socket
from gateway.dataplane.fence.nft.constants import KEEPER_FOLDER
from gateway.host.lending import Lender
from gateway.host.notify import Notifier, receive_fds

STORED_NAME: Final = "fence-owner"
"""Of the socket in systemd's store."""


def main() -> None:
    """Keep the socket until somebody ends the process."""
    if sys.argv[1:]:
        sys.exit("qgw-keeper: takes no arguments; systemctl starts and stops it")
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    notifier = Notifier(os.environ)
    stored = receive_fds(os.environ).get(STORED_NAME, [])
    if stored:
        kept = socket.socket(fileno=stored[0])
    else:
        kept = open_socket()
        kept.bind((0, 0))
    try:
        lender = Lender(_folder(), kept)
    except OSError as error:
        sys.exit(f"qgw-keeper: cannot listen in {_folder()}: {error.strerror}")
    if not stored:
        notifier.store_fds(STORED_NAME, [kept.fileno()])
    notifier.ready("keeps the fence")
    while True:
        lender.serve()


def _folder() -> Path:
    return Path(os.environ.get("RUNTIME_DIRECTORY", KEEPER_FOLDER))


if __name__ == "__main__":
    main()
