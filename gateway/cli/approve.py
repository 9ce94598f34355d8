"""``qgw approve``: the second person of an act that needs two."""

import click

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
    if as_json:
        print_json(result)
    else:
        asked_by = clean(result["asked_by"])
        click.echo(f"done, as {asked_by} asked: {clean(result['what'])}")


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
