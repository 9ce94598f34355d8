"""``qgw approve``: the second person of an act that needs two."""

import click

from gateway.cli.exit_codes import FAILED
from gateway.cli.session import (
    CommandSession,
    expect,
    expect_list,
    json_option,
    pass_session,
    print_json,
)
from gateway.cli.text import clean, table
from gateway.control.schema import Approval, ApproveResult, Method
from gateway.control.words import outcome
from gateway.units import duration


@click.command()
@click.argument("number", required=False, type=click.IntRange(1, 2**53 - 1))
@json_option
@pass_session
def approve(session: CommandSession, number: int | None, *, as_json: bool) -> None:
    """Do what another user asked for by NUMBER, or list what waits.

    Which acts need two people is said by second_person in the configuration.
    """
    if number is None:
        waiting = expect_list(session.call(Method.APPROVALS), Approval)
        if as_json:
            print_json(waiting)
        elif waiting:
            click.echo(_render(waiting))
        else:
            click.echo("nothing waits for a second person")
        return
    result = expect(session.call(Method.APPROVE, id=number), ApproveResult)
    # A reload that was confirmed may fail in part, and then is not done.
    answer = result["result"]
    has_failed = isinstance(answer, dict) and bool(answer.get("failed"))
    if as_json:
        print_json(result)
    elif has_failed:
        click.echo(f"qgw: {clean(outcome(result))}", err=True)
    else:
        click.echo(clean(outcome(result)))
    if has_failed:
        click.get_current_context().exit(FAILED)


def _render(waiting: list[Approval]) -> str:
    columns = ("NUMBER", "WHAT", "ASKED BY", "TIME LEFT")
    rows = [
        (
            str(each["id"]),
            clean(each["what"]),
            clean(each["asked_by"]),
            duration(each["left_s"]),
        )
        for each in waiting
    ]
    return table(columns, rows)
