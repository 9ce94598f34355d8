"""Several stocks that draw on one KME: the emptiest comes first.

A link's own keys and the pads of its hop come from the same KME. Were it first come,
first served, the stock whose pause happens to end when a satellite has passed would
take all that came, and the others none until the next pass.
"""


class SharedKME:
    """Whose turn it is to draw ahead. Who draws for a waiting handshake asks nobody."""

    def __init__(self) -> None:
        self._waiting: dict[str, float] = {}

    def wants(self, stock: str, fill: float) -> None:
        """Note that a stock wants keys.

        Args:
            stock: Its name.
            fill: The share of its target that it has, from 0.
        """
        self._waiting[stock] = fill

    def content(self, stock: str) -> None:
        """Note that a stock wants none, or could not use them now."""
        self._waiting.pop(stock, None)

    def is_turn(self, stock: str) -> bool:
        """Whether no other stock that wants keys is emptier."""
        own = self._waiting.get(stock, 0.0)
        return all(own <= fill for fill in self._waiting.values())
