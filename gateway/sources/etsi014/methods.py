"""POST, or GET where a KME knows nothing else (ETSI GS QKD 014 V1.1.1, 5.2 and 5.3)."""

from collections.abc import Callable
from typing import Final

from gateway.sources.http.notes import SourceNotes
from gateway.sources.http.session import Answer, HttpRequest, KMESession

REFUSES_POST: Final = "refuses POST; asked by GET"

_METHOD_NOT_ALLOWED = 405


class MethodChoice:
    """Asks one KME by the method that it knows.

    POST first: the coming edition 2 drops GET, which fetches but one key a call.

    Args:
        session: Connections to the KME.
        notes: Where a refused POST is noted.
    """

    def __init__(self, session: KMESession, notes: SourceNotes) -> None:
        self._session = session
        self._notes = notes
        self._by_get = False

    @property
    def by_get(self) -> bool:
        """Whether the KME has refused POST."""
        return self._by_get

    async def ask(
        self, post: HttpRequest, get: Callable[[], HttpRequest] | None
    ) -> Answer:
        """Ask by POST, or by GET if POST is refused.

        Args:
            post: The request as POST.
            get: Makes the same request as GET; None if GET cannot carry it.

        Raises:
            Trouble: As `KMESession.exchange`.
        """
        if self._by_get and get is not None:
            answer = await self._session.exchange(get())
            if answer.status != _METHOD_NOT_ALLOWED:
                return answer
            self._by_get = False
        answer = await self._session.exchange(post)
        if answer.status == _METHOD_NOT_ALLOWED:
            self._by_get = True
            self._notes.add(REFUSES_POST)
            if get is not None:
                return await self._session.exchange(get())
        return answer
