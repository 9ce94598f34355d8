"""The event of a reload: what it changed, and what of it was not done."""

from gateway.control.schema import ReloadResult
from gateway.control.words import outcome
from gateway.events.daemon import Reloaded, ReloadedInPart


def event_of_reload(
    result: ReloadResult, *, links_unchanged: int
) -> Reloaded | ReloadedInPart:
    """Return how many tunnels, links and keys changed, and what failed.

    Args:
        result: What is answered.
        links_unchanged: Links that are as they were, which an answer leaves out.
    """
    counts = (
        len(result["added"]),
        len(result["removed"]),
        len(result["changed"]),
        len(result["unchanged"]) + links_unchanged,
    )
    if result["failed"]:
        return ReloadedInPart(*counts, outcome(result))
    return Reloaded(*counts)
