"""Integers that no reader of TOML holds, in every file that is TOML."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config.toml_text import MAX_INTEGER, TOMLFaultError, parse_toml

LONG = "9" * 5000
"""Longer than the 4,300 digits of which Python makes a number at all."""

EXIT_CONFIG = 78


def fault_of(text: str) -> tuple[int, str]:
    with pytest.raises(TOMLFaultError) as caught:
        parse_toml(text)
    return caught.value.line, caught.value.found


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"a = {LONG}", 1),
        (f"# {LONG}\ntext = '{LONG}'\n\nlist = [\n  1,\n  {LONG},\n]\nb = {LONG}", 6),
        (f'text = """\n{LONG}\n"""\n[t]\nb = {{ c = -{LONG} }}\n', 5),
        (f"a = {'9_' * 5000}9", 1),
    ],
)
def test_thousands_of_digits(text: str, line: int) -> None:
    assert fault_of(text) == (line, "thousands of digits")


@pytest.mark.parametrize("value", [str(2**63), str(-(2**63) - 1), "0x" + "f" * 5000])
def test_more_than_64_bits(value: str) -> None:
    with pytest.raises(TOMLFaultError) as caught:
        parse_toml(f"[t]\nx = 1\nlist = [0, {value}]\n")
    assert (caught.value.line, caught.value.key) == (3, ("t", "list", 1))
    assert caught.value.expected == "an integer of 64 bits"


def test_64_bits_are_read() -> None:
    text = f"most = {MAX_INTEGER}\nleast = {-MAX_INTEGER - 1}\n"
    document, lines = parse_toml(text)
    assert document == {"most": MAX_INTEGER, "least": -MAX_INTEGER - 1}
    assert lines == {("most",): 1, ("least",): 2}


@pytest.mark.parametrize("value", [LONG, "0x" + "f" * 5000])
@pytest.mark.parametrize(
    ("program", "file"),
    [
        (("gateway.daemon.main", "--config"), "gateway.toml"),
        (("gateway.cli.main", "config", "check", "--config"), "gateway.toml"),
        (("gateway.cli.main", "plan"), "plan.toml"),
        (("gateway.kme.main", "run", "--config"), "kme.toml"),
        (("gateway.kme.main", "check", "--config"), "kme.toml"),
    ],
)
def test_each_program_names_file_and_line(
    tmp_path: Path, program: tuple[str, ...], file: str, value: str
) -> None:
    path = tmp_path / file
    path.write_text(f"[gateway]\nidentity = 'identity'\ncontrol_mtu = {value}\n")
    path.chmod(0o600)
    module, *words = program
    code = f"import sys; from {module} import main; sys.exit(main())"
    ended = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-c", code, *words, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = ended.stdout + ended.stderr
    assert f"{path}:3:" in said, said
    assert "Traceback" not in said
    assert len(said) < 1000
    assert ended.returncode == (1 if module == "gateway.cli.main" else EXIT_CONFIG)


def test_a_file_of_tunnels_d(tmp_path: Path) -> None:
    main = tmp_path / "gateway.toml"
    main.write_text("[gateway]\nidentity = 'identity'\n")
    (tmp_path / "tunnels.d").mkdir(mode=0o755)
    tunnel = tmp_path / "tunnels.d" / "a.toml"
    tunnel.write_text(f"[tunnels.a]\nqkd_every = {LONG}\n")
    for path in (main, tunnel):
        path.chmod(0o600)
    code = "from gateway.daemon.main import main; main()"
    ended = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-c", code, "--config", str(main)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == EXIT_CONFIG
    assert f"{tunnel}:2: syntax: expected an integer of 64 bits" in ended.stderr
