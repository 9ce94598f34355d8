"""The log's line for a reload: what it changed, and what of it was not done."""

import logging

from gateway.control.schema import ReloadResult
from gateway.control.words import outcome

logger = logging.getLogger(__name__)


def note_reload(result: ReloadResult, *, links_unchanged: int) -> None:
    """Say how many tunnels, links and keys changed; warn of what failed.

    Args:
        result: What is answered.
        links_unchanged: Links that are as they were, which an answer leaves out.
    """
    counts = ", ".join(
        f"{count} {word}"
        for word, count in (
            ("added", len(result["added"])),
            ("removed", len(result["removed"])),
            ("changed", len(result["changed"])),
            ("unchanged", len(result["unchanged"]) + links_unchanged),
        )
    )
    if result["failed"]:
        logger.warning(
            "reloaded: %s; %s",
            counts,
            outcome(result),
            extra={"event": "reload-failed"},
        )
    else:
        logger.info("reloaded: %s", counts)
