"""``qgw qkd``: where QKD keys come from, and whether they come."""

import click

from gateway.cli.exit_codes import FAILED, PARTLY
from gateway.cli.render_qkd import fetched, qkd_link_table, qkd_status
from gateway.cli.session import (
    Session,
    complete_link,
    expect,
    expect_list,
    json_option,
    pass_session,
    print_json,
)
from gateway.cli.text import clean
from gateway.control.limits import MAX_FETCH
from gateway.control.qkd_schema import FetchResult, QKDLink, QKDStatus
from gateway.control.schema import Method
from gateway.errors import GatewayError

_link = click.argument("link", shell_complete=complete_link)


@click.group()
def qkd() -> None:
    """Show, try and use the KMEs that QKD keys come from."""


@qkd.command()
@json_option
@pass_session
def links(session: Session, *, as_json: bool) -> None:
    """List every QKD link, one a line."""
    rows = expect_list(session.call(Method.QKD_LINKS), QKDLink)
    if as_json:
        print_json(rows)
    else:
        click.echo(qkd_link_table(rows))


@qkd.command()
@click.argument("link", required=False, shell_complete=complete_link)
@json_option
@pass_session
def status(session: Session, link: str | None, *, as_json: bool) -> None:
    """Show what the KME says and what the store holds, of every link or of LINK.

    A KME that does not answer within seconds is shown as such.
    """
    params = {} if link is None else {"link": link}
    statuses = expect_list(session.call(Method.QKD_STATUS, **params), QKDStatus)
    if as_json:
        print_json(statuses)
    else:
        blocks = [qkd_status(one) for one in statuses]
        click.echo("\n\n".join(blocks) or "no links")


@qkd.command()
@_link
@click.option(
    "--count",
    type=click.IntRange(1, MAX_FETCH),
    metavar="N",
    help="Keys to draw. [default: a batch, as configured]",
)
@json_option
@pass_session
def fetch(session: Session, link: str, *, count: int | None, as_json: bool) -> None:
    """Draw keys of LINK from the KME now, whatever the schedule.

    Only at the end that draws keys; the peer then fetches the same ones. Exit code 1:
    none came; 6: fewer than asked for.
    """
    params = {"link": link} if count is None else {"link": link, "count": count}
    result = expect(session.call(Method.QKD_FETCH, **params), FetchResult)
    if as_json:
        print_json(result)
    elif not result["drawn"]:
        if result["refused"]:
            click.echo(fetched(result))
        raise GatewayError(result["error"], result["hint"])
    else:
        click.echo(fetched(result))
        if result["error"]:
            click.echo(f"no more came: {clean(result['error'])}", err=True)
            if result["hint"]:
                click.echo(f"hint: {clean(result['hint'])}", err=True)
    if result["drawn"] < result["wanted"]:
        code = PARTLY if result["drawn"] else FAILED
        click.get_current_context().exit(code)
