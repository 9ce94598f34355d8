"""One end of a relay connection: says when it stands, and sends if it is to.

``python -m tests.netns.relay_end NAME OWN PEER PEER_ADDRESS PERIOD``; a period of 0 is
to be silent. Prints a JSON line whenever the connection to the peer comes or goes.
"""

import asyncio
import json
import sys
import time

from gateway.config.model import Endpoint
from gateway.relay.transport import RelayTransport

PORT = 7047


async def main() -> None:
    name, own, peer, address, period = sys.argv[1:]

    def say(_peer: str, connected: bool) -> None:
        line = json.dumps({"connected": connected, "at": time.monotonic()})
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    transport = RelayTransport(
        name,
        {peer: Endpoint(address, PORT)},
        [Endpoint(own, PORT)],
        receive=lambda _peer, _data: None,
        changed=say,
    )
    await transport.start()
    while True:
        await asyncio.sleep(float(period) or 1.0)
        if float(period):
            transport.send(peer, b"a message")


if __name__ == "__main__":
    asyncio.run(main())
