"""What pytest's closing lines say: how many passed, failed, were repeated."""

import re

SUMMARY = re.compile(r"(\d+) (passed|failed|skipped|errors?|xfailed|xpassed)\b")

COUNTED = {
    "passed": "passed",
    "xfailed": "passed",
    "failed": "failed",
    "xpassed": "failed",
    "error": "failed",
    "errors": "failed",
    "skipped": "skipped",
}
"""What each of pytest's words counts as here."""

SUMMARY_LINE = re.compile(
    r"^=* ?\d+ (?:passed|failed|skipped|errors?|xfailed|deselected).* in [\d.]+s"
)


def count(log: str) -> tuple[int, int, int]:
    """Read passed, failed and skipped off pytest's closing lines."""
    totals = dict.fromkeys(COUNTED.values(), 0)
    for line in log.splitlines():
        if SUMMARY_LINE.match(line):
            for number, word in SUMMARY.findall(line):
                totals[COUNTED[word]] += int(number)
    return totals["passed"], totals["failed"], totals["skipped"]


REPEATED = re.compile(r"^REPEATED (\S+::.+)$", re.MULTILINE)


def repeated(log: str) -> list[str]:
    """Return what the guard against load repeated and why, a line each attempt."""
    return [line.rstrip("\r") for line in REPEATED.findall(log)]
