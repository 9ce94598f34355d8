"""``qgw plan``: whether the keys will last, for the coming days."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gateway.cli.session import (
    CommandSession,
    expect,
    json_option,
    pass_session,
    print_json,
)
from gateway.cli.text import clean
from gateway.control.schema import ErrorCode, Method, StatusResult
from gateway.errors import ConfigError, ControlError, GatewayError

if TYPE_CHECKING:
    from gateway.planner.model import Plan
    from gateway.planner.result import Forecast

_FORMATS: Final = {".png": "png", ".svg": "svg"}

_MISSING: Final = "pip install 'qkd-gateway[plan]', or scripts/install --plan"


def _parse_start(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> datetime | None:
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is no time like 2026-11-01 or 2026-11-01T18:00"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _parse_picture(
    _context: click.Context, _parameter: click.Parameter, value: Path | None
) -> Path | None:
    if value is not None and value.suffix.lower() not in _FORMATS:
        raise click.BadParameter(f"{value} ends neither in .png nor in .svg")
    return value


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--days", type=click.IntRange(1, 366), help="Length. [default: as in FILE]"
)
@click.option(
    "--start",
    callback=_parse_start,
    metavar="TIME",
    help="First moment, ISO 8601, UTC if it does not say otherwise. [default: now]",
)
@click.option(
    "--probability",
    type=click.FloatRange(0.5, 0.999),
    metavar="P",
    help="With which schedules should hold, 0.5 to 0.999. [default: as in FILE]",
)
@click.option(
    "--live", is_flag=True, help="Begin with the stocks that the daemon has now."
)
@click.option(
    "--picture",
    type=click.Path(path_type=Path),
    callback=_parse_picture,
    metavar="IMAGE",
    help="Also draw the stocks over time, as .png or .svg.",
)
@json_option
@pass_session
def plan(
    session: CommandSession,
    file: Path,
    *,
    days: int | None,
    start: datetime | None,
    probability: float | None,
    live: bool,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Say whether the keys will last, for the network in FILE.

    Shows the satellites' passes, how each link's stock goes, whether each tunnel's
    schedule holds, and what would make it hold. docs/plan.md explains the file.
    """
    # Imported here: numpy for nothing would double the start of every other command.
    try:
        from gateway.planner.forecast import make_forecast  # noqa: PLC0415
        from gateway.planner.load import load_plan  # noqa: PLC0415
        from gateway.planner.report import to_json  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise GatewayError(f"planning needs {error.name}", _MISSING) from None
    from gateway.cli.render_plan import forecast_text  # noqa: PLC0415

    begin = (start or datetime.now(UTC)).timestamp()
    try:
        wanted = load_plan(file, begin, days=days, probability=probability)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(clean(str(problem)), err=True)
        raise
    if live:
        wanted = _with_live_stocks(session, wanted)
    forecast = make_forecast(wanted)
    if picture is not None:
        _draw(forecast, picture)
    if as_json:
        print_json(to_json(forecast))
    else:
        click.echo(forecast_text(forecast))


def _with_live_stocks(session: CommandSession, wanted: "Plan") -> "Plan":
    """Return the plan with the stocks of links that the daemon knows by name."""
    status = expect(session.call(Method.STATUS), StatusResult)
    stocks = {each["link"]: each["available"] for each in status["links"]}
    if stocks.keys().isdisjoint(wanted.links):
        raise ControlError(
            f"the daemon has no link of {wanted.file}",
            "give the links the names that qgw qkd links shows",
            code=ErrorCode.NOT_FOUND,
        )
    links = {}
    for name, link in wanted.links.items():
        if name in stocks:
            # A plan that says less than there is would throw keys away.
            capacity = max(link.capacity, stocks[name])
            links[name] = dataclasses.replace(
                link, stock=stocks[name], capacity=capacity
            )
        else:
            links[name] = link
            click.echo(
                f"warning: the daemon has no link {name}: {link.stock} keys, as in "
                f"{clean(str(wanted.file))}",
                err=True,
            )
    return dataclasses.replace(wanted, links=links)


def _draw(forecast: "Forecast", path: Path) -> None:
    try:
        from gateway.planner.picture import draw_picture  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise GatewayError(f"a picture needs {error.name}", _MISSING) from None
    form = _FORMATS[path.suffix.lower()]
    image = draw_picture(forecast, "svg" if form == "svg" else "png")
    try:
        path.write_bytes(image)
    except OSError as error:
        why = (error.strerror or "an error").lower()
        raise GatewayError(f"cannot write {path}: {why}") from None
