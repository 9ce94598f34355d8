"""``qgw status``: the whole picture, once or again and again, or in one line."""

import contextlib
import itertools
import os
import time
from pathlib import Path

import click

from gateway.cli.monitoring import Judgement, Level, judge_gateway, judge_tunnel
from gateway.cli.render import daemon_status
from gateway.cli.session import (
    CommandSession,
    complete_tunnel,
    expect,
    json_option,
    pass_session,
    print_json,
)
from gateway.control.schema import ErrorCode, Method, StatusResult
from gateway.errors import ControlError, GatewayError

CHECK_TIMEOUT = 8.0
"""Seconds that --check takes at most, counted from the start of the process, which a
busy machine makes long: monitoring ends a plugin after ten."""

_STARTED_AT = 19
"""The place of a process's start, in ticks since the boot, after its name in
``/proc/PID/stat`` (proc(5), field 22)."""

PATIENCE = 60.0
"""Seconds --watch waits for a daemon that went away: a restart takes less."""


@click.command()
@click.option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(0.2, 3600),
    default=2.0,
    show_default=True,
    help="Seconds between two, with --watch.",
)
@click.option(
    "--count", type=click.IntRange(1), help="Stop after this many, with --watch."
)
@click.option("--check", is_flag=True, help="One line, as a monitoring plugin.")
@click.option(
    "--tunnel",
    "name",
    shell_complete=complete_tunnel,
    help="Judge this tunnel and its link only, with --check.",
)
@json_option
@pass_session
def status(
    session: CommandSession,
    *,
    watch: bool,
    interval: float,
    count: int | None,
    check: bool,
    name: str | None,
    as_json: bool,
) -> None:
    """Show the daemon, its tunnels, its links, and what is wrong.

    With --watch and --json one JSON object a line. With --check it exits 0 (OK),
    1 (WARNING), 2 (CRITICAL) or 3 (UNKNOWN).
    """
    if check:
        verdict = _check(session, name, alone=not (watch or as_json))
        click.echo(verdict.line)
        click.get_current_context().exit(verdict.level)
    if name is not None:
        raise click.UsageError("--tunnel goes with --check")
    if not watch:
        _show(_read(session), as_json=as_json)
        return
    try:
        _watch(session, interval, count, as_json=as_json)
    except KeyboardInterrupt:
        click.echo()  # the shell's prompt goes below what was shown


def _check(session: CommandSession, name: str | None, *, alone: bool) -> Judgement:
    """Judge; whatever keeps us from it is UNKNOWN, and never a traceback."""
    if not alone:
        return Judgement(Level.UNKNOWN, "--check goes with neither --watch nor --json")
    try:
        with session.client(CHECK_TIMEOUT - min(age(), CHECK_TIMEOUT / 2)) as client:
            result = expect(client.call(Method.STATUS), StatusResult)
        return judge_gateway(result) if name is None else judge_tunnel(result, name)
    except GatewayError as error:
        text = error.message
        if isinstance(error, ControlError) and error.code == ErrorCode.TIMEOUT:
            text = f"no answer from qgwd within {CHECK_TIMEOUT:.0f} seconds"
        return Judgement(Level.UNKNOWN, text)
    except (LookupError, TypeError, ValueError):
        # Members of members are not looked at before they are used.
        return Judgement(Level.UNKNOWN, "the daemon's answer is not what was asked for")


def age() -> float:
    """Return how many seconds this process is old; 0 where that cannot be told."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        told = Path("/proc/self/stat").read_text("ascii", "replace")
        ticks = int(told.rpartition(")")[2].split()[_STARTED_AT])
        began = ticks / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - began)
    return 0.0


def _watch(
    session: CommandSession, interval: float, count: int | None, *, as_json: bool
) -> None:
    lost_at: float | None = None
    rounds = itertools.count() if count is None else range(count)
    for number in rounds:
        if number:
            time.sleep(interval)
        try:
            result = _read(session)
        except ControlError as error:
            now = time.monotonic()
            lost_at = now if lost_at is None else lost_at
            # What never answered is a mistake of the caller's, not a restart.
            transient = error.code in (ErrorCode.UNREACHABLE, ErrorCode.TIMEOUT)
            if not (number and transient and now - lost_at < PATIENCE):
                raise
            click.echo(f"waiting: {error.message}", err=True)
            continue
        lost_at = None
        click.clear()  # does nothing where there is no terminal
        _show(result, as_json=as_json, compact=True)


def _read(session: CommandSession) -> StatusResult:
    return expect(session.call(Method.STATUS), StatusResult)


def _show(result: StatusResult, *, as_json: bool, compact: bool = False) -> None:
    if as_json:
        print_json(result, compact=compact)
    else:
        click.echo(daemon_status(result))
