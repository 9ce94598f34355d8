"""Places that the daemon writes to: state folder, key store, control socket.

Only what is there is judged: systemd makes the folders of a unit before it starts it,
and the daemon makes the rest.
"""

import grp
import os
import stat
from pathlib import Path
from typing import Final

from gateway.acceptance.contents import Key
from gateway.acceptance.findings import Notes
from gateway.host.local_names import NameTakenError, check_folder

_LOOSE: Final = stat.S_IRWXG | stat.S_IRWXO

_HIS_FOLDER: Final = "a folder that the daemon's user may write"
_HIS_STORE: Final = "a key store that the daemon's user alone may read and write"


def check_places(notes: Notes) -> None:
    """Note places of which this process could not make use as the daemon."""
    config = notes.config
    _check_folder(notes, ("gateway", "state_dir"), config.state_dir)
    _check_folder(notes, ("gateway", "control_socket"), config.control_socket.parent)
    if config.keystore.parent != config.state_dir or config.state_dir.is_dir():
        _check_store(notes, config.keystore)
    _check_group(notes, config.control_group)


def _check_group(notes: Notes, name: str) -> None:
    key = ("gateway", "control_group")
    try:
        group = grp.getgrnam(name)
    except KeyError:
        found = f"{name}, which is none: root alone could use qgw"
        notes.warn(key, "a group of this host", found)
        return
    # A file can be given only to groups of one's own.
    if os.geteuid() and group.gr_gid not in (os.getegid(), *os.getgroups()):
        notes.refuse(key, "a group that the daemon's user is in", name)


def _check_folder(notes: Notes, key: Key, folder: Path) -> None:
    try:
        found = folder.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        notes.refuse(key, _HIS_FOLDER, f"{folder}: {_why(error)}")
        return
    if not stat.S_ISDIR(found.st_mode):
        notes.refuse(key, _HIS_FOLDER, f"{folder}, which is no folder")
    elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        what = f"{folder} of uid {found.st_uid}, mode {stat.S_IMODE(found.st_mode):04o}"
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            what = f"{folder} on a file system that is mounted read-only"
        notes.refuse(key, _HIS_FOLDER, what)
    else:
        _check_names(notes, key, folder)


def _check_names(notes: Notes, key: Key, folder: Path) -> None:
    """Note a folder where somebody else could take the names of our files."""
    try:
        check_folder(folder)
    except NameTakenError as error:
        notes.refuse(key, "a folder whose names nobody else can take", str(error))
    except OSError as error:
        notes.refuse(key, _HIS_FOLDER, f"{folder}: {_why(error)}")


def _check_store(notes: Notes, path: Path) -> None:
    for place in (path.parent, path):
        try:
            found = place.lstat() if place == path else place.stat()
        except FileNotFoundError:
            return
        except OSError as error:
            notes.refuse(("keystore", "path"), _HIS_STORE, f"{place}: {_why(error)}")
            return
        mode = stat.S_IMODE(found.st_mode)
        if found.st_uid != os.geteuid() or mode & _LOOSE:
            what = f"{place} of uid {found.st_uid}, mode {mode:04o}"
            notes.refuse(("keystore", "path"), _HIS_STORE, what)
            return


def _why(error: OSError) -> str:
    return (error.strerror or "an error").lower()
