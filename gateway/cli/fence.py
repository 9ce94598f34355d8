"""``qgw fence``: what keeps packets in, looked at and handled without the daemon.

These commands talk to the kernel themselves: they are for the time before the daemon
runs, and after it is gone. So what they need is imported when they run.
"""

import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.audit import audited
from gateway.cli.second_login import require_second_login
from gateway.cli.session import CommandSession, json_option, pass_session, print_json
from gateway.cli.text import listing, table
from gateway.config.defaults import DEFAULT_STATE_DIR
from gateway.config.files import peek
from gateway.control.schema import ErrorCode, Method
from gateway.control.words import one_line
from gateway.errors import ControlError, GatewayError, PlanePermissionError
from gateway.units import duration, plural

if TYPE_CHECKING:
    from gateway.dataplane.fence.base import Fence, FencePlan, FenceState

_SHOWN = 8
"""Prefixes beyond the record that are named; thousands would fill a boot's log."""


@click.group()
def fence() -> None:
    """Look after the fence, table inet qgw, by hand."""


@fence.command()
@json_option
@pass_session
def show(_session: CommandSession, *, as_json: bool) -> None:
    """Show what the fence refused and for how long tunnels may pass it."""
    opened = _open("look at", to_change=False)
    try:
        state = opened.read()
    finally:
        opened.close()
    if as_json:
        print_json(asdict(state))
    else:
        click.echo(render(state))


@fence.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@pass_session
def load(session: CommandSession, file: Path | None) -> None:
    """Refuse what the last accepted configuration names; grant nothing.

    For the boot, before the network is up. A fence that stands is left as it is.
    What the configuration's files name now is refused too: the daemon's record,
    fence.json in state_dir, may be old, damaged or gone. With FILE, what that
    record names and no more.
    """
    plans = (_recorded(file),) if file else _plans(session)
    names = {tunnel.name for plan in plans for tunnel in plan.tunnels}
    if not names:
        click.echo("nothing to refuse: no tunnel is configured")
        return
    opened = _open("load")
    try:
        state = opened.read()
        if state.reason:
            raise GatewayError(f"no fence: {state.reason}")
        if state.present:
            click.echo("the fence stands already; it is left as it is")
            return
        with audited("fence.load", tunnels=len(names)):
            opened.load(*plans)
    finally:
        opened.close()
    click.echo(f"loaded: {plural(len(names), 'tunnel')}, nothing may pass")


@fence.command()
@click.option(
    "--everything",
    is_flag=True,
    help="Also the interfaces, routes, SAs and policies that qgwd left.",
)
@pass_session
def remove(session: CommandSession, *, everything: bool) -> None:
    """Take the fence away: from then on, packets go wherever routes lead.

    Not while the daemon runs, which keeps it: remove the tunnel from the configuration
    instead, and reload.
    """
    with audited("fence.remove", everything=everything):
        said = _remove(session, everything=everything)
    if said:
        click.echo(said)


def _remove(session: CommandSession, *, everything: bool) -> str:
    if _is_running(session):
        raise GatewayError(
            "qgwd is running and keeps the fence",
            "to give up one tunnel, remove it from the configuration and qgw reload; "
            "to give up all, systemctl stop qgwd first",
        )
    require_second_login(session.config_path, _state_dir(session), "fence")
    if everything:
        from gateway.dataplane.leftovers import remove_leftovers  # noqa: PLC0415

        remove_leftovers(lambda what: click.echo(f"removed {what}"))
        return ""
    opened = _open("remove")
    try:
        was_there = opened.read().present
        opened.remove()
    finally:
        opened.close()
    return "removed" if was_there else "there is no fence"


def render(state: "FenceState") -> str:
    """Return what a person reads."""
    if state.reason:
        return f"no fence: {state.reason}"
    if not state.present:
        return "no fence: the nftables table inet qgw is not there"
    if state.limits:
        tunnels = plural(len(state.tunnels), "tunnel")
        return f"fence of IPsec policies: {tunnels}; {state.limits}"
    passing = sum(each.granted > 0 for each in state.tunnels.values())
    head = listing(
        "fence",
        "nftables table inet qgw",
        [("tunnels", f"{len(state.tunnels)}, of which {passing} may pass")],
    )
    rows = [
        (
            name,
            duration(each.granted) if each.granted > 0 else "no",
            str(each.dropped_out),
            str(each.dropped_in),
        )
        for name, each in state.tunnels.items()
    ]
    columns = ("TUNNEL", "MAY PASS FOR", "REFUSED OUT", "REFUSED IN")
    return "\n\n".join([head, table(columns, rows)]) if rows else head


def _plans(session: CommandSession) -> "tuple[FencePlan] | tuple[FencePlan, FencePlan]":
    """Return what was recorded, then what the configuration names; either alone.

    Raises:
        GatewayError: Neither can be read.
    """
    from gateway.dataplane.fence.plan import exempt_too  # noqa: PLC0415
    from gateway.dataplane.fence.plan_file import FILE_NAME  # noqa: PLC0415
    from gateway.dataplane.fence.plan_named import beyond, plan_named  # noqa: PLC0415

    record, lost = None, ""
    try:
        record = _recorded(_state_dir(session) / FILE_NAME)
    except GatewayError as error:
        lost = error.message
    try:
        named, unread = plan_named(session.config_path)
    except GatewayError as error:
        if record is None:
            raise GatewayError(
                f"no fence: {lost}, and {error.message}",
                "mend the configuration, then start qgwd: packets for remote prefixes "
                "may leave in clear until then",
            ) from None
        click.echo(f"only the record counts: {one_line(error.message)}", err=True)
        return (record,)
    for each in unread:
        click.echo(f"not read, and not refused: {one_line(each)}", err=True)
    if record is None:
        if named.tunnels:
            click.echo(f"{lost}: taking what {session.config_path} names", err=True)
        return (named,)
    added = list(beyond(named, record))
    for name, prefix in added[:_SHOWN]:
        click.echo(f"refused too, though not in the record: {prefix} of {name}")
    if len(added) > _SHOWN:
        click.echo(f"and {len(added) - _SHOWN} more")
    return record, replace(named, exempt=exempt_too(named, record))


def _recorded(path: Path) -> "FencePlan":
    """Return what the daemon recorded.

    Raises:
        GatewayError: It is not there, cannot be read, or holds something else.
    """
    from gateway.dataplane.fence.plan_file import read_plan  # noqa: PLC0415

    try:
        path.stat()
    except FileNotFoundError:
        raise GatewayError(
            f"{path} is not there", "qgwd writes it: fence.json in state_dir"
        ) from None
    except OSError as error:
        raise GatewayError(
            f"cannot read {path}: {os.strerror(error.errno or 0)}"
        ) from None
    return read_plan(path)


def _open(act: str, *, to_change: bool = True) -> "Fence":
    from gateway.dataplane.fence.open import open_fence  # noqa: PLC0415

    try:
        return open_fence(to_change=to_change)
    except PlanePermissionError:
        raise GatewayError(
            f"to {act} the fence takes root: the kernel is asked itself",
            "run it as root; qgw tunnel show NAME asks the daemon",
        ) from None


def _is_running(session: CommandSession) -> bool:
    try:
        session.call(Method.STATUS)
    except ControlError as error:
        if error.code in {ErrorCode.NOT_PERMITTED, ErrorCode.CONFIG}:
            raise  # whether it runs, or where to ask it, is not known
        return error.code != ErrorCode.UNREACHABLE
    return True


def _state_dir(session: CommandSession) -> Path:
    """Return where the daemon keeps its state; any other mistake is its own affair."""
    try:
        named = peek(session.config_path, "gateway", "state_dir")
    except OSError:
        named = None
    if not isinstance(named, str) or not named:
        return DEFAULT_STATE_DIR
    return session.config_path.parent / named
