"""What `qgw` imports before it asks the daemon: counted, since time is not.

Half of a start is imports. A module that is not listed here costs every call of a
monitoring plugin, so it is added for a reason or not at all.
"""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from gateway.cli.commands import LazyCommand
from gateway.cli.main import root

STATUS = {
    "gateway",
    *("gateway.errors", "gateway.secret", "gateway.units"),
    "gateway.cli",
    *(f"gateway.cli.{name}" for name in ("commands", "exit_codes", "main", "session")),
    *(f"gateway.cli.{name}" for name in ("monitoring", "render", "render_tunnel")),
    *(f"gateway.cli.{name}" for name in ("status", "text")),
    *("gateway.config", "gateway.config.defaults"),
    "gateway.control",
    *(f"gateway.control.{name}" for name in ("client", "lifted_keys", "limits")),
    *(f"gateway.control.{name}" for name in ("protocol", "schema", "socket_file")),
    *("gateway.host", "gateway.host.local_names"),
}
"""Modules of ours that ``qgw status`` may load, told where its socket is."""

FINDING = {
    *(f"gateway.config.{name}" for name in ("files", "problems")),
    *(f"gateway.config.{name}" for name in ("toml_lines", "toml_text")),
}
"""Those that it may load beside, to find its socket in a configuration."""

NOWHERE = ("--socket", "/nonexistent")

OUTSIDE = {"click"}
"""Packages of others that it may load."""

_PROGRAM = """
import contextlib, io, sys
# What the interpreter loads by itself, as for editable installs, is not qgw's.
before = set(sys.modules)
from gateway.cli.main import main
silence = io.StringIO()
with contextlib.redirect_stderr(silence), contextlib.redirect_stdout(silence):
    main(sys.argv[1:])
print(*sorted(set(sys.modules) - before), sep="\\n")
"""


def loaded(*arguments: str) -> set[str]:
    """Return the modules that one call loads."""
    words = [sys.executable, "-c", _PROGRAM, *arguments]
    result = subprocess.run(  # noqa: S603  # our own command
        words, capture_output=True, text=True, check=True
    )
    return set(result.stdout.splitlines())


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "gateway"}


def packages(modules: set[str]) -> set[str]:
    top = {module.partition(".")[0] for module in modules}
    return top - set(sys.stdlib_module_names) - {"gateway"}


def test_status_loads_what_it_needs_alone() -> None:
    modules = loaded(*NOWHERE, "status")
    assert ours(modules) == STATUS
    assert packages(modules) == OUTSIDE


def test_status_finds_its_socket_without_the_reader_of_configurations(
    tmp_path: Path,
) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('[gateway]\ncontrol_socket = "nonexistent"\n')
    assert ours(loaded("--config", str(config), "status")) == STATUS | FINDING


@pytest.mark.parametrize(
    "words",
    [
        ("tunnel", "show", "a"),
        ("qkd", "links"),
        ("network",),
        ("reload",),
        ("identity", "show"),
    ],
)
def test_commands_that_ask_the_daemon_load_no_library_but_click(
    words: tuple[str, ...],
) -> None:
    assert packages(loaded(*NOWHERE, *words)) == OUTSIDE


@pytest.mark.parametrize("words", [("--help",), ("identity",), ("keystore",)])
def test_help_loads_no_library_but_click(words: tuple[str, ...]) -> None:
    assert packages(loaded(*words)) == OUTSIDE


def test_an_identity_is_read_without_a_look_for_liboqs(tmp_path: Path) -> None:
    private, public = tmp_path / "private", tmp_path / "public"
    made = ("identity", "new", "--private", str(private), "--public", str(public))
    modules = loaded(*made)
    assert public.exists()
    assert "cryptography" in packages(modules)
    assert not {"ctypes", "gateway.crypto.liboqs_library", "oqs"} & modules


def lazy(command: click.Command) -> LazyCommand:
    assert isinstance(command, LazyCommand)
    return command


@pytest.mark.parametrize("name", root.commands)
def test_a_command_is_found_under_its_name_and_summary(name: str) -> None:
    listed = lazy(root.commands[name])
    command = listed.load()
    assert (listed.name, command.name) == (name, name)
    assert listed.get_short_help_str() == command.get_short_help_str(limit=200)


def test_a_module_without_its_command_is_a_fault() -> None:
    with pytest.raises(TypeError, match="text holds no command text"):
        LazyCommand("gateway.cli", "text", "Nothing.").load()
