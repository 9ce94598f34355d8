"""``qgw config``: what is wrong with the configuration, before the daemon says it."""

import dataclasses
from pathlib import Path

import click

from gateway.cli.exit_codes import FAILED
from gateway.cli.session import CommandSession, json_option, pass_session, print_json
from gateway.cli.text import clean
from gateway.errors import ConfigError, GatewayError
from gateway.units import plural


@click.group()
def config() -> None:
    """Check the configuration."""


@config.command()
@click.option(
    "--config", "path", type=click.Path(path_type=Path), help="Main file to check."
)
@click.option("--user", help="Whose rights to check with. [default: the daemon's]")
@json_option
@pass_session
def check(
    session: CommandSession, path: Path | None, user: str | None, *, as_json: bool
) -> None:
    """Check the configuration and every file it names; report all problems at once.

    The same checks decide on a reload, and on the start of the daemon. Root checks
    with the rights of the daemon's user, who may not see all that root does. Anybody
    else checks the text alone, and not the files and folders that it names.
    """
    # Imported here: cryptography takes a third of the start of `qgw`.
    from gateway.cli.check_as import check_as_daemon  # noqa: PLC0415

    main = path or session.config_path
    report = check_as_daemon(main, user, session)
    if as_json:
        print_json(
            {
                "ok": not report.problems,
                "user": report.user,
                "problems": [dataclasses.asdict(each) for each in report.problems],
                "warnings": [dataclasses.asdict(each) for each in report.warnings],
                "notes": list(report.notes),
            }
        )
        if report.problems:
            click.get_current_context().exit(FAILED)
        return
    for warning in report.warnings:
        click.echo(f"warning: {clean(str(warning))}", err=True)
    for note in report.notes:
        click.echo(clean(note), err=True)
    if report.problems:
        for problem in report.problems:
            click.echo(clean(str(problem)), err=True)
        found = ConfigError(report.problems)
        raise GatewayError(f"{found.message} (checked as {report.user})", found.hint)
    tunnels, files = plural(report.tunnels, "tunnel"), plural(report.files, "file")
    click.echo(f"{main}: {tunnels} in {files}: no problems (checked as {report.user})")
