"""The request about the network of trusted nodes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gateway.control.network_schema import (
    NetworkLink,
    NetworkNode,
    NetworkResult,
    NetworkRoute,
)
from gateway.control.params import refuse_unknown
from gateway.control.schema import Method
from gateway.control.server import Handler
from gateway.errors import RelayError
from gateway.relay.client import RelayClient
from gateway.relay.view import NetworkView

if TYPE_CHECKING:
    from gateway.relay.service import Relaying
    from gateway.supply.links import Links


class NetworkHandlers:
    """Describes the network as this gateway sees it."""

    def __init__(self, relaying: "Relaying", links: "Links") -> None:
        self._relaying = relaying
        self._key_links = links

    def table(self) -> dict[str, Handler]:
        """Return the handlers by method name."""
        return {Method.NETWORK: self.network}

    async def network(self, params: Mapping[str, object]) -> NetworkResult:
        """Describe nodes, links, stocks and routes."""
        refuse_unknown(params, set())
        relaying = self._relaying
        config, view = relaying.config, relaying.view
        if config is None or view is None:
            return NetworkResult(
                node="",
                forward=False,
                listen=[],
                trouble="",
                refused={},
                nodes=[],
                links=[],
                routes=[],
            )
        transport = relaying.transport
        return NetworkResult(
            node=config.node,
            forward=config.forward,
            listen=[str(endpoint) for endpoint in config.listen],
            trouble=relaying.trouble,
            refused=dict(transport.counters()) if transport else {},
            nodes=self._nodes(view),
            links=self._links(view),
            routes=[
                self._route(name, client)
                for name, client in sorted(relaying.clients.items())
                if name in self._key_links.configs
            ],
        )

    def _nodes(self, view: NetworkView) -> list[NetworkNode]:
        relaying = self._relaying
        config, transport = relaying.config, relaying.transport
        neighbours = config.neighbours if config else {}
        return [
            NetworkNode(
                node=one.name,
                neighbour=one.name in neighbours,
                connected=one.name in neighbours
                and transport is not None
                and transport.is_connected(one.name),
                heard_ago_s=one.heard_ago,
                avoided=one.avoided,
            )
            for one in view.nodes(now=relaying.now)
        ]

    def _links(self, view: NetworkView) -> list[NetworkLink]:
        now = self._relaying.now
        return [
            NetworkLink(
                nodes=[a, b],
                pads=view.pads(a, b, now=now),
                pads_back=view.pads(b, a, now=now),
            )
            for a, b in view.links
        ]

    def _route(self, name: str, client: RelayClient) -> NetworkRoute:
        links = self._key_links
        keeper, stock = links.keepers.get(name), links.statuses.get(name)
        paths: list[list[str]] = []
        error = ""
        try:
            routes, _ = client.find(1)
            paths = [list(route) for route in routes]
        except RelayError as problem:
            error = problem.message
        return NetworkRoute(
            link=name,
            to=client.to,
            paths=paths,
            wanted_paths=client.paths,
            available=stock.available if stock else 0,
            drawn=keeper.status().drawn if keeper else 0,
            error=error,
        )
