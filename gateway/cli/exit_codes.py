"""Exit codes of `qgw`, listed in docs/qgw.md."""

from gateway.control.schema import ErrorCode
from gateway.errors import ControlError, GatewayError

OK = 0
FAILED = 1
"""It was understood and tried, and it did not work."""

USAGE = 2
"""The command line is wrong; nothing was tried."""

UNREACHABLE = 3
"""The daemon does not run, or does not answer."""

NOT_PERMITTED = 4
"""The user may not control the daemon."""

NOT_FOUND = 5
"""The daemon has no tunnel or link by that name."""

PARTLY = 6
"""Done in part: some keys of an import were refused, or fewer came than asked for."""

INTERRUPTED = 130
"""128 + SIGINT, as a shell would say it."""

_BY_CODE = {
    ErrorCode.UNREACHABLE: UNREACHABLE,
    ErrorCode.TIMEOUT: UNREACHABLE,
    ErrorCode.NOT_PERMITTED: NOT_PERMITTED,
    ErrorCode.NOT_FOUND: NOT_FOUND,
}


def exit_code_of(error: GatewayError) -> int:
    """Return the exit code with which an error ends the program."""
    if isinstance(error, ControlError):
        return _BY_CODE.get(error.code, FAILED)
    return FAILED
