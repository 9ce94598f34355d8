"""Schema of the answer to ``network`` (`gateway.control.schema` has the rest).

Plain JSON values only; ages are seconds, stocks are pads of 256 bits.
"""

from typing import TypedDict


class NetworkNode(TypedDict):
    """One node of the network, as this one knows it.

    `neighbour` says that this node shares a link with it, `connected` that relay
    messages can be sent to it. `heard_ago_s` is when it last told how it stands, null
    if not lately. `avoided` says that it failed a moment ago.
    """

    node: str
    neighbour: bool
    connected: bool
    heard_ago_s: float | None
    avoided: bool


class NetworkLink(TypedDict):
    """One link, as configured; pads in stock in each direction, null if not told."""

    nodes: list[str]
    pads: int | None
    pads_back: int | None


class NetworkRoute(TypedDict):
    """A link whose keys are relayed.

    `paths` are those that the next batch would take; `error` says why it can take none.
    """

    link: str
    to: str
    paths: list[list[str]]
    wanted_paths: int
    available: int
    drawn: int
    error: str


class NetworkResult(TypedDict):
    """Answer of ``network``. `node` is empty where there is no ``[relay]``."""

    node: str
    forward: bool
    listen: list[str]
    trouble: str
    refused: dict[str, int]
    nodes: list[NetworkNode]
    links: list[NetworkLink]
    routes: list[NetworkRoute]
