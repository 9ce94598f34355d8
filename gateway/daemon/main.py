"""The program `qgwd`."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import click

from gateway import __version__
from gateway.acceptance.accept import Candidate, judge_files
from gateway.config.defaults import DEFAULT_PATH
from gateway.config.load import load_config
from gateway.config.model import LogFormat
from gateway.daemon.parts import build
from gateway.daemon.service import Service
from gateway.errors import ConfigError, DataPlaneError, GatewayError
from gateway.events.bus import publish, subscribe
from gateway.events.daemon import ConfigWarning, ReloadRefused, StartFailed
from gateway.host.garbage import Garbage
from gateway.host.logging import configure_logging
from gateway.host.memory import protect_memory
from gateway.observe.journal.listener import log

EXIT_FAILED = 1
"""What may pass by itself: systemd starts us again."""

EXIT_CONFIG = 78
"""EX_CONFIG of sysexits.h: systemd's RestartPreventExitStatus knows it, for a restart
cannot mend what only the operator can."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="qgwd", message="%(prog)s %(version)s")
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=DEFAULT_PATH,
    show_default=True,
    help="The main configuration file; tunnels.d beside it is read too.",
)
@click.option("--console", is_flag=True, help="Log to the console, whatever is set.")
def command(config_path: Path, *, console: bool) -> None:
    """Keep quantum-safe tunnels up. Runs in the foreground, under systemd."""
    os.umask(0o077)
    try:
        config = load_config(config_path)
        log_format = LogFormat.CONSOLE if console else config.log_format
        configure_logging(log_format, config.log_level)
        subscribe(log)
        protect_memory()
        candidate = judge_files(config)
        for warning in candidate.warnings:
            publish(ConfigWarning(str(warning)))
        candidate.refuse_general()
        asyncio.run(_serve(candidate, config_path, log_format))
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"qgwd: {problem}", err=True)
        click.echo(f"hint: {error.hint}", err=True)
        sys.exit(EXIT_CONFIG)
    except GatewayError as error:
        publish(StartFailed(error.message))
        click.echo(f"qgwd: {error.message}", err=True)
        if error.hint:
            click.echo(f"hint: {error.hint}", err=True)
        # What the kernel refuses it may grant the next time.
        may_pass = error.retryable or isinstance(error, DataPlaneError)
        sys.exit(EXIT_FAILED if may_pass else EXIT_CONFIG)


async def _serve(
    candidate: Candidate, config_path: Path, log_format: LogFormat
) -> None:
    parts = build(candidate, os.environ)
    service = Service(candidate, parts, config_path, os.environ, log_format=log_format)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.request_stop)
    reloads: set[asyncio.Task[None]] = set()

    def on_hangup() -> None:
        task = loop.create_task(_reload(service))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    try:
        await service.start()
        service.garbage = Garbage()
        service.garbage.collect()
        await service.run()
    finally:
        await service.stop()


async def _reload(service: Service) -> None:
    try:
        await service.reload()
    except ConfigError as error:
        for problem in error.problems:
            _log_refused(str(problem))
    except GatewayError as error:
        _log_refused(error.message)


def _log_refused(reason: str) -> None:
    publish(ReloadRefused(reason))


def main() -> None:
    """Run `qgwd`."""
    command()
