"""What `qgw` imports before it asks the daemon: counted, since time is not.

Half of a start is imports. A module that is not listed here costs every call of a
monitoring plugin, so it is added for a reason or not at all.
"""

import subprocess
import sys

import click
import pytest

from gateway.cli.commands import LazyCommands
from gateway.cli.main import root

STATUS = {
    "gateway",
    *("gateway.errors", "gateway.secret", "gateway.units"),
    "gateway.cli",
    *(f"gateway.cli.{name}" for name in ("commands", "exit_codes", "main", "session")),
    *(f"gateway.cli.{name}" for name in ("monitoring", "render", "render_tunnel")),
    *(f"gateway.cli.{name}" for name in ("status", "text")),
    "gateway.config",
    *(f"gateway.config.{name}" for name in ("defaults", "files", "problems")),
    *(f"gateway.config.{name}" for name in ("toml_lines", "toml_text")),
    "gateway.control",
    *(f"gateway.control.{name}" for name in ("client", "lifted_keys", "limits")),
    *(f"gateway.control.{name}" for name in ("protocol", "schema", "socket_file")),
    *("gateway.host", "gateway.host.local_names"),
}
"""Modules of ours that ``qgw status`` may load."""

OUTSIDE = {"click"}
"""Packages of others that it may load."""

_PROGRAM = """
import contextlib, io, sys
# What the interpreter loads by itself, as for editable installs, is not qgw's.
before = set(sys.modules)
from gateway.cli.main import main
with contextlib.redirect_stderr(io.StringIO()):
    main(sys.argv[1:])
print(*sorted(set(sys.modules) - before), sep="\\n")
"""


def loaded(*arguments: str) -> set[str]:
    """Return the modules that one call loads, with a socket that is not there."""
    words = [sys.executable, "-c", _PROGRAM, "--socket", "/nonexistent", *arguments]
    result = subprocess.run(  # noqa: S603  # our own command
        words, capture_output=True, text=True, check=True
    )
    return set(result.stdout.splitlines())


def packages(modules: set[str]) -> set[str]:
    top = {module.partition(".")[0] for module in modules}
    return top - set(sys.stdlib_module_names) - {"gateway"}


def test_status_loads_what_it_needs_alone() -> None:
    modules = loaded("status")
    assert {m for m in modules if m.partition(".")[0] == "gateway"} == STATUS
    assert packages(modules) == OUTSIDE


@pytest.mark.parametrize(
    "words",
    [("tunnel", "show", "a"), ("qkd", "links"), ("network",), ("reload",)],
)
def test_commands_that_ask_the_daemon_load_no_library_but_click(
    words: tuple[str, ...],
) -> None:
    assert packages(loaded(*words)) == OUTSIDE


def test_every_command_is_found_under_its_name() -> None:
    for name, command in root.commands.items():
        assert command.name == name


def test_a_module_without_its_command_is_a_fault() -> None:
    commands = LazyCommands("gateway.cli", ["text"])
    with pytest.raises(TypeError, match="text holds no command text"):
        commands["text"]


def test_commands_can_be_added_and_taken_away() -> None:
    commands = LazyCommands("gateway.cli", ["status"])
    commands["other"] = click.Command("other")
    assert list(commands) == ["status", "other"]
    assert len(commands) == 2
    del commands["other"]
    assert "other" not in commands
