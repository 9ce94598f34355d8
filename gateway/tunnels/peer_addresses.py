"""The addresses at which an initiator calls its peer, in turn.

The first is where the peer was last heard in this run: an end that moved is there,
whatever the configuration says. After a failure the configured endpoint follows, then
the two alternate, and a name's addresses take their turns. A new run, and a changed
endpoint, begin with the endpoint: it may say what the operator has just learnt. There
the record of the last run is the other address.
"""

from gateway.config.model import Endpoint
from gateway.errors import GatewayError
from gateway.host.path import SocketAddress
from gateway.host.resolver import Resolver


class Whereabouts:
    """Where one tunnel's peer may be."""

    def __init__(
        self,
        resolver: Resolver,
        endpoint: Endpoint | None,
        recorded: SocketAddress | None,
    ) -> None:
        """Begin a run.

        Args:
            resolver: Finds the addresses of a name.
            endpoint: Where the configuration says the peer is, or None.
            recorded: Where it was last heard in the run before, or None.
        """
        self._resolver = resolver
        self._endpoint = endpoint
        self._recorded = recorded
        self._is_endpoints_turn = True
        self._called: SocketAddress | None = None

    def reconfigure(self, endpoint: Endpoint | None) -> None:
        """Take over another endpoint, which is called next."""
        if endpoint != self._endpoint:
            self._endpoint = endpoint
            self._is_endpoints_turn = True

    def known(self, heard: SocketAddress | None) -> SocketAddress | None:
        """Return where to call if that is where the peer was last heard; or None."""
        elsewhere = heard or self._recorded
        if self._is_endpoints_turn and self._endpoint is not None:
            return None
        self._called = elsewhere
        return elsewhere

    async def find(self, heard: SocketAddress | None) -> SocketAddress:
        """Return where to call.

        Args:
            heard: Where the peer was last heard in this run, or None.

        Raises:
            GatewayError: Nothing is known, or the endpoint's name cannot be resolved
                and the peer was never heard.
        """
        known = self.known(heard)
        if known is not None:
            return known
        if self._endpoint is None:
            raise GatewayError(
                "the peer's address is not known",
                "set endpoint, or let the peer be the initiator",
            )
        try:
            self._called = await self._resolver.resolve(self._endpoint)
        except GatewayError:
            self._called = heard or self._recorded
            if self._called is None:
                raise
        return self._called

    def failed(self) -> None:
        """Nobody answers where the peer was called: call another address next."""
        self._is_endpoints_turn = not self._is_endpoints_turn
        if self._endpoint is not None and self._called is not None:
            self._resolver.forget(self._endpoint, self._called)

    def answered(self) -> None:
        """The peer is where it was called, or where it answered from."""
        self._is_endpoints_turn = False
