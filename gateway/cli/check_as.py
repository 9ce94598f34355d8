"""The check of a configuration with the rights of the daemon's user.

Root checks as that user. Anybody else cannot, and would take own rights for faults of
files and folders: for them the configuration's text alone is judged, and that is said.
"""

import dataclasses
import grp
import json
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.acceptance import kme_files
from gateway.acceptance.accept import Candidate, accept, judge_host
from gateway.acceptance.host import Options, look_for_planes, wanted_planes
from gateway.cli.session import CommandSession
from gateway.config.load import load_config
from gateway.config.model import GatewayConfig
from gateway.control.schema import ErrorCode, Method
from gateway.dataplane.fence.plan_file import FILE_NAME, read_plan
from gateway.errors import ConfigError, ConfigProblem, ControlError, GatewayError

UNIT: Final = "qgwd.service"
USUAL_USER: Final = "qgw"
"""Whom the unit that we ship names."""

SYSTEMCTL_TIMEOUT: Final = 5.0
"""Seconds; it answers in milliseconds where systemd runs."""

# Imported before rights are given up: the daemon's user may not see where we are.
_LATER: Final = (kme_files,)


@dataclass(frozen=True, slots=True)
class Account:
    """A user with the groups that a process of his has.

    Attributes:
        name: As ``/etc/passwd`` has it, or the number.
        uid: User.
        gid: Group.
        groups: Supplementary groups.
        home: Folder of his.
    """

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str = "/"


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found.

    Attributes:
        user: With whose rights.
        problems: What does not work.
        warnings: What works, and will not for long or not as meant.
        notes: What could not be checked, and why; and what is worth knowing.
        tunnels: How many there are.
        files: How many files they are in.
    """

    user: str
    problems: tuple[ConfigProblem, ...]
    warnings: tuple[ConfigProblem, ...] = ()
    notes: tuple[str, ...] = ()
    tunnels: int = 0
    files: int = 0


def check_as_daemon(main: Path, user: str | None, session: CommandSession) -> Report:
    """Check a configuration as the daemon's user would see it.

    Args:
        main: The main file.
        user: Whose rights to check with, or None for the daemon's user.
        session: Where a running daemon is looked for.

    Raises:
        GatewayError: There is no such user; or only root can be another one.
    """
    try:
        config = load_config(main)
    except ConfigError:
        config = None  # the check itself says so, if its user can read that much
    account = _find_account(user, config)
    notes: tuple[str, ...] = ()
    options: Options = {}
    is_another = False
    if os.geteuid():
        daemon = None if user is not None else _daemon_account(config)
        daemon = daemon or account
        is_another = daemon.uid != account.uid
        left = "files, folders and planes" if is_another else "planes"
        takes = f"root or the daemon's user {daemon.name}" if is_another else "root"
        looked = f"{left} were not looked at, which takes {takes}"
        notes = (f"note: checked as {account.name}: {looked}",)
    elif config is not None:
        options = look_for_planes(wanted_planes(config))
    running: GatewayConfig | None = None
    if config is not None and _is_running(CommandSession(session.socket, main)):
        running = _with_own_ports(config)
    if account.uid == os.geteuid():
        report = _check(main, account, options, running, read_files=not is_another)
    elif os.geteuid():
        raise GatewayError(
            f"only root can check as {account.name}", "run: sudo qgw config check"
        )
    else:
        report = _check_in_child(main, account, options, running)
    return dataclasses.replace(report, notes=(*notes, *report.notes))


def _check(
    main: Path,
    account: Account,
    options: Options,
    running: GatewayConfig | None,
    *,
    read_files: bool = True,
) -> Report:
    try:
        if read_files:
            read = accept(main)
        else:
            read = Candidate(load_config(main), None, {}, {})
        candidate = judge_host(read, options, running)
    except ConfigError as error:
        return Report(account.name, error.problems)
    return Report(
        account.name,
        tuple(finding.problem for finding in candidate.findings),
        candidate.warnings,
        tuple(f"note: {remark}" for remark in candidate.remarks),
        tunnels=len(candidate.config.tunnels),
        files=len(candidate.config.files),
    )


def _check_in_child(
    main: Path, account: Account, options: Options, running: GatewayConfig | None
) -> Report:
    """Check in a child that has given up root; it answers by a pipe."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            os.setgroups(account.groups)
            os.setgid(account.gid)
            os.setuid(account.uid)
            os.environ["HOME"] = account.home  # as systemd does: root's is closed
            report = _check(main, account, options, running)
            with os.fdopen(writer, "w") as pipe:
                json.dump(dataclasses.asdict(report), pipe)
            code = 0
        finally:
            # Never on into the caller's code, which is the parent's to run.
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise GatewayError(
            f"the check as {account.name} ended without an answer",
            "run it as that user: sudo -u USER qgw config check",
        )
    told = json.loads(answer)
    for name in ("problems", "warnings"):
        told[name] = tuple(ConfigProblem(**each) for each in told[name])
    told["notes"] = tuple(told["notes"])
    return Report(**told)


def _with_own_ports(config: GatewayConfig) -> GatewayConfig:
    """Return the configuration with those ports alone that a running daemon has.

    They stand in the plan of its fence, which it writes for the next boot.
    """
    try:
        ports = read_plan(config.state_dir / FILE_NAME).ports
    except GatewayError:
        return config  # not root's to read: the reload will judge them
    first, second = (port if port in ports else 0 for port in config.wireguard_ports)
    listen = tuple(each for each in config.listen if each.port in ports)
    return dataclasses.replace(config, listen=listen, wireguard_ports=(first, second))


def _is_running(session: CommandSession) -> bool:
    """Whether a daemon is there, whose ports are not another program's."""
    try:
        session.call(Method.STATUS)
    except ControlError as error:
        return error.code != ErrorCode.UNREACHABLE  # it may not be ours to ask
    return True


def _find_account(user: str | None, config: GatewayConfig | None) -> Account:
    """Return the user named; or the unit's, the state folder's, the usual one."""
    if user is not None:
        found = _account(user)
        if found is None:
            raise GatewayError(f"there is no user {user}", "see: getent passwd")
        return found
    if os.geteuid():
        return _account(str(os.geteuid())) or Account(
            str(os.geteuid()), os.geteuid(), os.getegid(), tuple(os.getgroups())
        )
    return _daemon_account(config) or Account("root", 0, 0, tuple(os.getgroups()))


def _daemon_account(config: GatewayConfig | None) -> Account | None:
    """Return whom the daemon runs as, as far as this host shows."""
    return _unit_account() or _owner(config) or _account(USUAL_USER)


def _unit_account() -> Account | None:
    """Return whom systemd starts the daemon as, if it knows the unit."""
    program = shutil.which("systemctl")
    if program is None:
        return None
    keys = "LoadState,User,Group,SupplementaryGroups"
    try:
        done = subprocess.run(  # noqa: S603  # its own path, and fixed words
            [program, "show", UNIT, f"--property={keys}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=SYSTEMCTL_TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    told = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    if told.get("LoadState") != "loaded":
        return None
    return _account(
        told.get("User") or "root",
        told.get("Group", ""),
        told.get("SupplementaryGroups", "").split(),
    )


def _owner(config: GatewayConfig | None) -> Account | None:
    """Return whose the state folder is."""
    if config is None:
        return None
    try:
        return _account(str(config.state_dir.stat().st_uid))
    except OSError:
        return None


def _account(
    user: str, group: str = "", more: list[str] | None = None
) -> Account | None:
    try:
        found = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
        gid = grp.getgrnam(group).gr_gid if group else found.pw_gid
        extra = {grp.getgrnam(each).gr_gid for each in more or ()}
    except KeyError:
        return None
    groups = {*os.getgrouplist(found.pw_name, gid), *extra}
    home = found.pw_dir
    return Account(found.pw_name, found.pw_uid, gid, tuple(sorted(groups)), home)
