"""``qgw fence``: what keeps packets in, looked at and handled without the daemon.

These commands talk to the kernel themselves: they are for the time before the daemon
runs, and after it is gone. So what they need is imported when they run.
"""

from dataclasses import asdict
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
from gateway.units import duration

if TYPE_CHECKING:
    from gateway.dataplane.fence.base import Fence, FencePlan, FenceState


@click.group()
def fence() -> None:
    """Look after the fence, table inet qgw, by hand."""


@fence.command()
@json_option
@pass_session
def show(_session: CommandSession, *, as_json: bool) -> None:
    """Show what the fence refused and for how long tunnels may pass it."""
    opened = _open()
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
    FILE is what the daemon wrote: fence.json in state_dir. If that is missing or
    damaged, what the configuration's files name is refused instead.
    """
    plan = _plan(session, file)
    if not plan.tunnels:
        click.echo("nothing to refuse: no tunnel is configured")
        return
    opened = _open()
    try:
        state = opened.read()
        if state.reason:
            raise GatewayError(f"no fence: {state.reason}")
        if state.present:
            click.echo("the fence stands already; it is left as it is")
            return
        with audited("fence.load", tunnels=len(plan.tunnels)):
            opened.load(plan)
    finally:
        opened.close()
    click.echo(f"loaded: {len(plan.tunnels)} tunnels, nothing may pass")


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
    opened = _open()
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
        return f"fence of IPsec policies: {len(state.tunnels)} tunnels; {state.limits}"
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


def _plan(session: CommandSession, file: Path | None) -> "FencePlan":
    """Return what was recorded; where that is lost, what the configuration names.

    Raises:
        GatewayError: Neither can be read.
    """
    from gateway.dataplane.fence.plan_file import (  # noqa: PLC0415
        FILE_NAME,
        read_plan,
    )
    from gateway.dataplane.fence.plan_named import plan_named  # noqa: PLC0415

    path = file or _state_dir(session) / FILE_NAME
    try:
        if path.exists() or file:
            return read_plan(path)
        lost = f"{path} is not there"
    except OSError as error:
        lost = f"cannot read {path}: {error.strerror}"
    except GatewayError as error:
        if file:
            raise
        lost = error.message
    try:
        plan, unread = plan_named(session.config_path)
    except GatewayError as error:
        raise GatewayError(
            f"no fence: {lost}, and {error.message}",
            "mend the configuration, then start qgwd: packets for remote prefixes "
            "may leave in clear until then",
        ) from None
    if plan.tunnels:
        click.echo(f"{lost}: taking what {session.config_path} names", err=True)
    for each in unread:
        click.echo(f"not read, and not refused: {one_line(each)}", err=True)
    return plan


def _open() -> "Fence":
    from gateway.dataplane.fence.open import open_fence  # noqa: PLC0415

    try:
        return open_fence()
    except PlanePermissionError as error:
        raise GatewayError(
            error.message, "run it as root; qgw tunnel show NAME asks the daemon"
        ) from None


def _is_running(session: CommandSession) -> bool:
    try:
        session.call(Method.STATUS)
    except ControlError as error:
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
