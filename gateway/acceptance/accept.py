"""Configuration and the files that it names, read and judged as one."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway.acceptance.contents import Content, Key
from gateway.acceptance.files import FileChecks, TunnelFiles
from gateway.acceptance.findings import Finding, Notes
from gateway.acceptance.host import (
    Options,
    check_peers,
    check_planes,
    check_ports,
    check_settings,
)
from gateway.acceptance.own_addresses import (
    check_interfaces,
    check_networks,
    check_own_addresses,
    read_own,
)
from gateway.acceptance.places import check_places
from gateway.config.load import load_config
from gateway.config.model import GatewayConfig
from gateway.crypto.identity import PrivateIdentity
from gateway.errors import ConfigError, ConfigProblem


@dataclass(frozen=True, slots=True)
class Candidate:
    """A configuration without mistakes of its own, and what its files hold.

    Attributes:
        config: What the operator wrote.
        identity: The gateway's own identity, None if it cannot be used.
        tunnels: What each tunnel's files hold; those that cannot be used are missing.
        contents: What every file held, by the key that names it.
        findings: What does not work.
        warnings: What works, and will not for long or not as meant.
        remarks: What is as it should be, and is worth knowing.
    """

    config: GatewayConfig
    identity: PrivateIdentity | None
    tunnels: dict[str, TunnelFiles]
    contents: dict[Key, Content]
    findings: tuple[Finding, ...] = ()
    warnings: tuple[ConfigProblem, ...] = field(default=())
    remarks: tuple[str, ...] = ()

    def with_notes(self, notes: Notes) -> "Candidate":
        """Return the same with more findings, warnings and remarks."""
        return replace(
            self,
            findings=(*self.findings, *notes.findings),
            warnings=(*self.warnings, *notes.warnings),
            remarks=(*self.remarks, *notes.remarks),
        )

    def news(self, said: Collection[ConfigProblem]) -> Iterator[ConfigProblem]:
        """Yield warnings about single keys that were not said before.

        Those about this host as a whole are for ``status``.
        """
        known = {(each.key, each.found) for each in said}
        for each in self.warnings:
            if "." in each.key and (each.key, each.found) not in known:
                yield each

    def refuse_any(self, standing: Collection[Finding] = ()) -> None:
        """Refuse the whole for any problem but those that stand already.

        Raises:
            ConfigError: There are others; it carries every one of them.
        """
        known = {finding.sign for finding in standing}
        _refuse(f for f in self.findings if f.sign not in known)

    def refuse_general(self) -> None:
        """Refuse the whole for what keeps all of it from working.

        Raises:
            ConfigError: There is something; it carries every problem of that kind.
        """
        _refuse(f for f in self.findings if f.is_general)


def accept(path: Path, *, environ: Mapping[str, str] = os.environ) -> Candidate:
    """Read a configuration and every file that it names, as this process may.

    Takes a second for a thousand tunnels: not for the event loop.

    Args:
        path: The main file.
        environ: Where systemd names its folder of credentials.

    Raises:
        ConfigError: The configuration itself is wrong; its files were not opened.
    """
    return judge_files(load_config(path), environ=environ)


def judge_files(
    config: GatewayConfig, *, environ: Mapping[str, str] = os.environ
) -> Candidate:
    """Read every file that a configuration names, as this process may.

    Args:
        config: What the operator wrote.
        environ: Where systemd names its folder of credentials.
    """
    notes = Notes(config)
    held = FileChecks(notes, environ).run()
    check_places(notes)
    check_peers(notes, held.tunnels)
    return Candidate(
        config=notes.config,
        identity=held.identity,
        tunnels=held.tunnels,
        contents=held.contents,
    ).with_notes(notes)


def judge_host(
    candidate: Candidate,
    options: Options,
    in_force: GatewayConfig | None,
    opened: Collection[str] = (),
) -> Candidate:
    """Return the same, judged by what this host can do and has free.

    Args:
        candidate: What was read.
        options: What is known of the planes that it names.
        in_force: The configuration whose ports are ours already, or None.
        opened: Planes that this daemon has open.
    """
    notes = Notes(candidate.config)
    check_planes(notes, options)
    check_peers(notes, candidate.tunnels, options)
    check_ports(notes, options, in_force, opened)
    check_settings(notes)
    own = read_own()
    check_own_addresses(notes, own)
    check_interfaces(notes, options, own)
    check_networks(notes)
    return candidate.with_notes(notes)


def _refuse(findings: Iterable[Finding]) -> None:
    problems = tuple(finding.problem for finding in findings)
    if problems:
        raise ConfigError(problems)
