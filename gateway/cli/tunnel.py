"""``qgw tunnel``: what tunnels there are, how they stand, and steering them."""

import click

from gateway.cli.render import tunnel_table
from gateway.cli.render_tunnel import tunnel_details
from gateway.cli.session import (
    CommandSession,
    complete_tunnel,
    expect,
    expect_list,
    json_option,
    pass_session,
    print_json,
)
from gateway.control.schema import Method, TunnelDetails, TunnelStatus

_name = click.argument("name", shell_complete=complete_tunnel)


@click.group()
def tunnel() -> None:
    """List, show, start, stop and rotate tunnels."""


@tunnel.command("list")
@json_option
@pass_session
def list_tunnels(session: CommandSession, *, as_json: bool) -> None:
    """List every tunnel, one a line."""
    tunnels = expect_list(session.call(Method.TUNNEL_LIST), TunnelStatus)
    if as_json:
        print_json(tunnels)
    else:
        click.echo(tunnel_table(tunnels))


@tunnel.command()
@_name
@json_option
@pass_session
def show(session: CommandSession, name: str, *, as_json: bool) -> None:
    """Show everything about the tunnel NAME."""
    status = expect(session.call(Method.TUNNEL_SHOW, name=name), TunnelDetails)
    if as_json:
        print_json(status)
    else:
        click.echo(tunnel_details(status))


@tunnel.command()
@_name
@pass_session
def up(session: CommandSession, name: str) -> None:
    """Bring the tunnel NAME up; does not wait for the peer."""
    session.call(Method.TUNNEL_UP, name=name)


@tunnel.command()
@_name
@pass_session
def down(session: CommandSession, name: str) -> None:
    """Take the tunnel NAME down: its traffic is blocked, never sent in clear."""
    session.call(Method.TUNNEL_DOWN, name=name)


@tunnel.command()
@_name
@pass_session
def rotate(session: CommandSession, name: str) -> None:
    """Ask for new keys for the tunnel NAME now, ahead of the schedule."""
    session.call(Method.TUNNEL_ROTATE, name=name)
