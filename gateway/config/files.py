"""Configuration files, found and read within bounds; files others write are refused."""

import os
import stat
from pathlib import Path
from typing import Final

from gateway.config.problems import Problems, Source, dotted
from gateway.config.toml_text import TOMLFaultError, parse_toml

TUNNELS_FOLDER: Final = "tunnels.d"
SUFFIX: Final = ".toml"

MAX_FILE_BYTES: Final = 4 * 1024 * 1024
"""Ten thousand tunnels of some 400 bytes in one file."""

MAX_FILES: Final = 10_000
"""One file for each tunnel."""

# Non-blocking, or a FIFO in a file's place would hold the daemon for ever.
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def find_files(main: Path, problems: Problems) -> list[Path]:
    """Name the main file and those of ``tunnels.d`` beside it, in order."""
    folder = main.parent / TUNNELS_FOLDER
    try:
        mode = folder.stat().st_mode
        names = sorted(entry.name for entry in folder.iterdir())
    except FileNotFoundError as error:
        if folder.is_symlink():  # to what is not mounted: its tunnels count
            problems.add_at(folder, 0, TUNNELS_FOLDER, "a folder to read", _why(error))
        return [main]
    except OSError as error:
        problems.add_at(folder, 0, TUNNELS_FOLDER, "a folder to read", _why(error))
        return [main]
    _check_mode(folder, mode, problems)
    # Editors leave hidden files behind, and package tools other suffixes.
    names = [n for n in names if n.endswith(SUFFIX) and not n.startswith(".")]
    if len(names) > MAX_FILES:
        problems.add_at(
            folder, 0, TUNNELS_FOLDER, f"at most {MAX_FILES} files", f"{len(names)}"
        )
        names = names[:MAX_FILES]
    return [main, *(folder / name for name in names)]


def read_source(file: Path, problems: Problems) -> Source | None:
    """Read one file; None means a problem was noted."""
    text = _read_text(file, problems)
    if text is None:
        return None
    try:
        return Source(file, *parse_toml(text))
    except TOMLFaultError as fault:
        key = dotted(fault.key)
        problems.add_at(file, fault.line, key, fault.expected, fault.found)
    return None


def peek(file: Path, table: str, key: str, problems: Problems | None = None) -> object:
    """Return one value of a file that may have become wrong elsewhere, or None.

    A configuration with a mistake must not keep its operator from the daemon that
    still runs with the one before: what is wrong is said by whoever needs all of it.

    Args:
        file: The main configuration file.
        table: Name of the table.
        key: Of the value.
        problems: Told why the file cannot be read as a whole.

    Raises:
        OSError: The file cannot be read.
    """
    os.close(os.open(file, _FLAGS))
    source = read_source(file, Problems() if problems is None else problems)
    found = source.data.get(table) if source is not None else None
    return found.get(key) if isinstance(found, dict) else None


def _read_text(file: Path, problems: Problems) -> str | None:
    try:
        descriptor = os.open(file, _FLAGS)
    except OSError as error:
        problems.add_at(file, 0, "file", "a file to read", _why(error))
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            problems.add_at(file, 0, "file", "a regular file", "something else")
            return None
        _check_mode(file, status.st_mode, problems)
        with open(descriptor, "rb", closefd=False) as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        problems.add_at(file, 0, "file", "a file to read", _why(error))
        return None
    finally:
        os.close(descriptor)
    if len(data) > MAX_FILE_BYTES:
        problems.add_at(file, 0, "file", f"at most {MAX_FILE_BYTES} bytes", "more")
        return None
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"byte {data[error.start]:#04x}"
        problems.add_at(file, line, "syntax", "UTF-8 text", found)
        return None


def _check_mode(path: Path, mode: int, problems: Problems) -> None:
    """Refuse what someone other than its owner can write: it decides who is trusted."""
    if mode & _OTHERS_WRITE:
        problems.add_at(
            path,
            0,
            "permissions",
            f"writable by its owner alone (chmod go-w {path})",
            f"mode {stat.S_IMODE(mode):04o}",
        )


def _why(error: OSError) -> str:
    return (error.strerror or "an error").lower()
