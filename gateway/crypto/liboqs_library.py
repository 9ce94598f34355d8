"""The liboqs that the Python binding would load, and whether it can use it.

The binding's import downloads, compiles and installs liboqs when it finds no shared
library, and exits the process when that fails. It takes any version for its own, though
it lays out structures by hand and calls functions that older ones lack. So the library
is found here first, in the binding's own order, and asked for its version.
"""

import ctypes
import ctypes.util
import importlib.metadata
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

BINDING: Final = "liboqs-python"

_FILE: Final = "liboqs.so"

_NEEDED: Final = ("OQS_init", "OQS_version", "OQS_KEM_new", "OQS_KEM_keypair_derand")
"""Some of what the binding calls; the last came with seeds for ML-KEM."""


@dataclass(frozen=True, slots=True)
class Library:
    """A shared library that the dynamic linker can load.

    Attributes:
        path: As the linker takes it.
        version: What it says of itself, or empty.
        objection: Why the binding cannot use it; empty when it can.
    """

    path: str
    version: str
    objection: str


def wanted_version() -> str:
    """Return the version that the binding is made for, ``0.16``; empty without one."""
    try:
        version = importlib.metadata.version(BINDING)
    except importlib.metadata.PackageNotFoundError:
        return ""
    return _release(version)


def find_library() -> Library | None:
    """Return what the binding will load, fit or not; None when it would find nothing.

    Looks where the binding looks, in its order: the dynamic linker's own directories,
    then ``$OQS_INSTALL_PATH`` (else ``~/_oqs``). A process looks once.
    """
    root = os.environ.get("OQS_INSTALL_PATH")
    return _find(Path(root) if root else Path.home() / "_oqs")


@cache
def _find(base: Path) -> Library | None:
    candidates = [
        *map(ctypes.util.find_library, ("liboqs", "oqs")),
        *(str(base / folder / _FILE) for folder in ("lib", "lib64")),
    ]
    for path in candidates:
        if path is None:
            continue
        try:
            loaded = ctypes.CDLL(path)
        except OSError:
            continue
        return _judge(path, loaded)
    return None


def _judge(path: str, loaded: ctypes.CDLL) -> Library:
    missing = [name for name in _NEEDED if not hasattr(loaded, name)]
    version = "" if "OQS_version" in missing else _version_of(loaded)
    wanted = wanted_version()
    if not wanted:
        return Library(path, version, f"{BINDING} is not installed")
    if _release(version) != wanted:
        found = f"version {version}" if version else "no liboqs"
        return Library(path, version, f"{path} is {found}, {wanted} is needed")
    if missing:
        return Library(path, version, f"{path} lacks {missing[0]}")
    return Library(path, version, "")


def _version_of(loaded: ctypes.CDLL) -> str:
    function = loaded.OQS_version
    function.restype = ctypes.c_char_p
    said = function()
    text = said.decode("ascii", "replace") if isinstance(said, bytes) else ""
    return text[:32] if text.isprintable() else ""


def _release(version: str) -> str:
    return ".".join(version.split(".")[:2])
