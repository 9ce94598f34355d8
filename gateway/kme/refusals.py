"""The KME's refusals (ETSI GS QKD 014 V1.1.1, clauses 5 and 6.5).

::

    400  bad request; the messages that the standard gives verbatim are below
    401  not authorised: no body at all
    503  the KME cannot, now

A refusal says nothing of keys or SAEs that are not the caller's.
"""

from http import HTTPStatus
from typing import Final, Self

SIZE_NOT_OCTETS: Final = "size shall be a multiple of 8"
MANDATORY_UNSUPPORTED: Final = "not all extension_mandatory parameters are supported"
KEYS_NOT_FOUND: Final = "one or more keys specified are not found on KME"
BAD_REQUEST: Final = "Bad request format"
UNAVAILABLE: Final = "Error of server side"
DECLINED: Final = "the request was declined"
"""Words of no standard, for a KME that keeps keys back (a mode of misbehaviour)."""


class RefusedError(Exception):
    """Raised when a request gets no keys.

    Attributes:
        status: HTTP status code.
        message: The body's `message`; empty for none.
        details: The body's `details`, name and value pairs.
        retry_after: Seconds after which it may be tried again, or None.
    """

    def __init__(
        self,
        status: int,
        message: str = "",
        details: tuple[tuple[str, str], ...] = (),
        *,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message
        self.details = details
        self.retry_after = retry_after

    @classmethod
    def bad_request(cls, name: str, problem: str) -> Self:
        """Make the answer to a request whose member or parameter is wrong."""
        return cls(HTTPStatus.BAD_REQUEST, BAD_REQUEST, ((name, problem),))

    @classmethod
    def unauthorized(cls) -> Self:
        """Make the answer to a caller who may not; it says no more than that."""
        return cls(HTTPStatus.UNAUTHORIZED)

    @classmethod
    def unavailable(cls, message: str, *, retry_after: int | None = None) -> Self:
        """Make the answer when the KME cannot now."""
        return cls(HTTPStatus.SERVICE_UNAVAILABLE, message, retry_after=retry_after)

    def body(self) -> dict[str, object] | None:
        """Return the Error of clause 6.5, or None where the standard has no body."""
        if not self.message:
            return None
        body: dict[str, object] = {"message": self.message}
        if self.details:
            body["details"] = [{name: value} for name, value in self.details]
        return body
