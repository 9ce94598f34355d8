"""Trouble inside a call to a KME, before it is an error for others.

A `Trouble` is raised deep down, where parts of an answer are at hand, and goes no
farther than `gateway.sources.http.retry`, which catches it and raises a
`KeySourceError` of its own: so no traceback drags frames along whose variables held an
answer.
"""

from gateway.errors import KeySourceError, SourceFault


class Trouble(Exception):  # noqa: N818  # not an error of ours: it becomes one
    """One thing wrong with one call.

    Attributes:
        fault: What kind of thing.
        message: What, in words of ours only.
        hint: What to do about it.
        retry_after: Seconds the KME asked us to wait, or None.
        is_carried_out: Whether the KME may have done what was asked.
        is_stale: Whether a kept connection ended before the first byte of an answer.
        is_json: Whether it is an answer in JSON, as an error of a KME's is.
    """

    def __init__(
        self,
        fault: SourceFault,
        message: str,
        hint: str = "",
        *,
        retry_after: float | None = None,
        is_carried_out: bool = True,
        is_stale: bool = False,
        is_json: bool = False,
    ) -> None:
        super().__init__(message)
        self.fault = fault
        self.message = message
        self.hint = hint
        self.retry_after = retry_after
        self.is_carried_out = is_carried_out
        self.is_stale = is_stale
        self.is_json = is_json

    def to_error(self, source: str, call: str) -> KeySourceError:
        """Return the error that others see; raise it outside `except`."""
        return KeySourceError(
            self.message,
            self.hint,
            source=source,
            call=call,
            fault=self.fault,
            retry_after=self.retry_after,
            is_json=self.is_json,
        )


def malformed(message: str, hint: str = "") -> Trouble:
    """Return what a caller raises when an answer is not what the standard describes."""
    return Trouble(SourceFault.MALFORMED, message, hint)
