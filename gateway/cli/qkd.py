"""``qgw qkd``: where QKD keys come from, and whether they come."""

from pathlib import Path

import click

from gateway.cli.exit_codes import FAILED, PARTLY
from gateway.cli.render_qkd import (
    FindingPrinter,
    fetched,
    qkd_link_table,
    qkd_status,
)
from gateway.cli.session import (
    CommandSession,
    complete_link,
    expect,
    expect_list,
    json_option,
    pass_session,
    print_json,
)
from gateway.cli.text import clean
from gateway.control.limits import MAX_FETCH
from gateway.control.qkd_schema import (
    FetchResult,
    QKDFinding,
    QKDLink,
    QKDStatus,
    QKDTestResult,
)
from gateway.control.schema import ErrorCode, Method
from gateway.errors import ControlError, GatewayError
from gateway.units import plural

_link = click.argument("link", shell_complete=complete_link)


@click.group()
def qkd() -> None:
    """Show, try and use the KMEs that QKD keys come from."""


@qkd.command()
@json_option
@pass_session
def links(session: CommandSession, *, as_json: bool) -> None:
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
def status(session: CommandSession, link: str | None, *, as_json: bool) -> None:
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
def fetch(
    session: CommandSession, link: str, *, count: int | None, as_json: bool
) -> None:
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


@qkd.command("test")
@_link
@click.option(
    "--draw", is_flag=True, help="Also draw a key of each KME; that uses it up."
)
@click.option(
    "--local",
    is_flag=True,
    help="Try it from here, without a daemon, as --config says. Run it as the daemon's "
    "user.",
)
@click.option(
    "--peer-config",
    type=click.Path(path_type=Path),
    help="With --local and --draw: the peer's main configuration file, to fetch the "
    "same key there and compare; in a laboratory.",
)
@json_option
@pass_session
def try_kme(
    session: CommandSession,
    link: str,
    *,
    draw: bool,
    local: bool,
    peer_config: Path | None,
    as_json: bool,
) -> None:
    """Try the KMEs of LINK step by step and explain what is wrong.

    Nothing is changed and, without --draw, no key is used up. Exit code 1: a step
    failed. docs/qkd.md explains each step.
    """
    if peer_config is not None and not (local and draw):
        raise click.UsageError(
            "--peer-config needs --local and --draw", ctx=click.get_current_context()
        )
    report = FindingPrinter(link, quiet=as_json)
    if local:
        result = _try_here(session, link, peer_config, report, draw=draw)
    else:
        result = _try_there(session, link, draw=draw)
        for finding in result["findings"]:
            report.show(finding)
    if as_json:
        print_json(result)
    if not result["ok"]:
        if as_json:
            click.get_current_context().exit(FAILED)
        raise _test_failure(result)


def _try_here(
    session: CommandSession,
    name: str,
    peer_config: Path | None,
    report: FindingPrinter,
    *,
    draw: bool,
) -> QKDTestResult:
    # Imported here: an HTTP library for nothing would double the start of `qgw`.
    from gateway.cli.qkd_local import find_link, try_link  # noqa: PLC0415

    link = find_link(session.config_path, name)
    peer_link = find_link(peer_config, name) if peer_config else None
    findings: list[QKDFinding] = []

    def note(finding: QKDFinding) -> None:
        findings.append(finding)
        report.show(finding)

    try_link(link, peer_link, draw=draw, note=note)
    is_ok = not any(finding["grade"] == "failed" for finding in findings)
    return QKDTestResult(link=name, ok=is_ok, complete=True, findings=findings)


def _try_there(session: CommandSession, name: str, *, draw: bool) -> QKDTestResult:
    try:
        return expect(
            session.call(Method.QKD_TEST, link=name, draw=draw), QKDTestResult
        )
    except ControlError as error:
        if error.code != ErrorCode.UNREACHABLE:
            raise
        hint = f"start it, or try the KME without it: qgw qkd test {name} --local"
        raise ControlError(error.message, hint, code=error.code) from None


def _test_failure(result: QKDTestResult) -> GatewayError:
    count = sum(finding["grade"] == "failed" for finding in result["findings"])
    if not count:
        return GatewayError(
            f"link {result['link']}: there was no time for all steps",
            f"without a limit: qgw qkd test {result['link']} --local",
        )
    return GatewayError(
        f"link {result['link']}: {plural(count, 'step')} failed",
        "docs/qkd.md explains each step",
    )
