"""Answers of all links' KMEs, asked for now and then.

Keys are drawn by whole batches, so a KME that is down may be noticed only hours later,
when the first is missing. Asking for its status takes no key.
"""

import asyncio
from typing import Final

from gateway.errors import KeySourceError
from gateway.supply.link import LinkSupply
from gateway.supply.links import Links
from gateway.supply.outage import Outage

INTERVAL: Final = 60.0
"""Seconds between two questions about one link: one more call a minute."""

SPACING: Final = 0.5
"""Seconds between two questions at least: a hub's thousand links may have one KME."""

PATIENCE: Final = 6.0
"""Seconds to wait for an answer, as `qgw qkd status` does."""

Trouble = tuple[str, str]
"""What is wrong, and what to do about it."""

WELL: Final[Trouble] = ("", "")


class KMEWatch:
    """Asks one link's KME after the other.

    Attributes:
        troubles: Links whose KME gave no answer when last asked, and why.
    """

    def __init__(self, links: Links) -> None:
        self._links = links
        self.troubles: dict[str, Trouble] = {}
        self._outages: dict[str, Outage] = {}

    def trouble_of(self, link: str) -> Trouble:
        """Say what keeps a link's KME from giving keys: drawing knows best."""
        drawing = self._links.trouble_and_hint(link)
        return drawing if drawing != WELL else self.troubles.get(link, WELL)

    async def run(self) -> None:
        """Ask all, again and again, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            names = [n for n, one in self._links.configs.items() if one.kme is not None]
            self.troubles = {n: t for n, t in self.troubles.items() if n in names}
            for name in self._outages.keys() - set(names):
                del self._outages[name]
            for name in names:
                await self._ask(name)
                await asyncio.sleep(SPACING)
            await asyncio.sleep(max(SPACING, started + INTERVAL - loop.time()))

    async def _ask(self, name: str) -> None:
        keeper = self._links.keepers.get(name)
        if keeper is None:
            return
        trouble = await _trouble_of(keeper)
        self.troubles.pop(name, None)
        if trouble != WELL:
            self.troubles[name] = trouble
        if trouble != WELL:
            outage = self._outages.setdefault(name, Outage(name, "kme", "kme-asked"))
            outage.failed("silent", f"its KME cannot be asked: {trouble[0]}")
        elif name in self._outages:
            self._outages.pop(name).recovered("its KME answers again")


async def _trouble_of(keeper: LinkSupply) -> Trouble:
    try:
        async with asyncio.timeout(PATIENCE):
            await keeper.ask_kme()
    except TimeoutError:
        hint = f"see: qgw qkd test {keeper.config.name}"
        return f"no answer of the KME within {PATIENCE:.0f} s", hint
    except KeySourceError as error:
        return error.message, error.hint
    return WELL
