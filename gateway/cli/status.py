"""``qgw status``: the whole picture, once or again and again."""

import itertools
import time

import click

from gateway.cli.render import daemon_status
from gateway.cli.session import Session, expect, json_option, pass_session, print_json
from gateway.control.schema import ErrorCode, Method, StatusResult
from gateway.errors import ControlError

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
@json_option
@pass_session
def status(
    session: Session, *, watch: bool, interval: float, count: int | None, as_json: bool
) -> None:
    """Show the daemon, its tunnels and its links.

    With --watch and --json one JSON object a line.
    """
    if not watch:
        _show(_read(session), as_json=as_json)
        return
    try:
        _watch(session, interval, count, as_json=as_json)
    except KeyboardInterrupt:
        click.echo()  # the shell's prompt goes below what was shown


def _watch(
    session: Session, interval: float, count: int | None, *, as_json: bool
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


def _read(session: Session) -> StatusResult:
    return expect(session.call(Method.STATUS), StatusResult)


def _show(result: StatusResult, *, as_json: bool, compact: bool = False) -> None:
    if as_json:
        print_json(result, compact=compact)
    else:
        click.echo(daemon_status(result))
