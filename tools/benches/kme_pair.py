"""Two KMEs of one simulated link: ``python -m benches.kme_pair FOLDER KEYS``.

Prints their addresses and certificates as one JSON object, and serves until standard
input ends. The link gives KEYS keys at once, and no more.
"""

import asyncio
import json
import logging
import os
import sys
from pathlib import Path

from doubles.kme_pair import KMEPair

MAX_KEYS = 1_000_000
MAX_BATCH = 1_024


async def serve(folder: Path, keys: int) -> None:
    """Run both until standard input ends."""
    pair = KMEPair(folder, max_key_count=MAX_KEYS, max_key_per_request=MAX_BATCH)
    async with pair:
        await pair.make_keys(keys)
        saes = [pair.credentials[sae_id] for sae_id in ("gw-a", "gw-b")]
        said = {
            "urls": [pair.alice.url, pair.bob.url],
            "ca": str(pair.ca),
            "saes": [
                {
                    "certificate": str(one.certificate),
                    "private_key": str(one.private_key),
                }
                for one in saes
            ],
        }
        print(json.dumps(said), flush=True)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
        await ended.wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    os.umask(0o077)
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
