"""``qgw config``: what is wrong with the configuration, before the daemon says it."""

import dataclasses
from pathlib import Path

import click

from gateway.cli.exit_codes import FAILED
from gateway.cli.file_checks import check_files
from gateway.cli.session import Session, json_option, pass_session, print_json
from gateway.cli.text import clean, plural
from gateway.config.load import load_config
from gateway.errors import ConfigError, ConfigProblem


@click.group()
def config() -> None:
    """Check the configuration."""


@config.command()
@click.option(
    "--config", "path", type=click.Path(path_type=Path), help="Main file to check."
)
@json_option
@pass_session
def check(session: Session, path: Path | None, *, as_json: bool) -> None:
    """Check the configuration and every file it names; report all problems at once.

    A certificate that ends within 30 days is a warning and no failure. Run it as the
    user of the daemon (root sees files that the daemon may not).
    """
    main = path or session.config_path
    problems: tuple[ConfigProblem, ...]
    warnings: tuple[ConfigProblem, ...] = ()
    summary = ""
    try:
        loaded = load_config(main)
        findings = check_files(loaded)
        problems, warnings = findings.problems, findings.warnings
        files, tunnels = len(loaded.files), len(loaded.tunnels)
        summary = f"{plural(tunnels, 'tunnel')} in {plural(files, 'file')}: no problems"
    except ConfigError as error:
        problems = error.problems
    if as_json:
        print_json(
            {
                "ok": not problems,
                "problems": [dataclasses.asdict(problem) for problem in problems],
                "warnings": [dataclasses.asdict(warning) for warning in warnings],
            }
        )
        if problems:
            click.get_current_context().exit(FAILED)
        return
    for warning in warnings:
        click.echo(f"warning: {clean(str(warning))}", err=True)
    if problems:
        for problem in problems:
            click.echo(clean(str(problem)), err=True)
        raise ConfigError(problems)
    click.echo(f"{main}: {summary}")
