"""Findings: what is wrong with a configuration, where, and how far it reaches."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from gateway.acceptance.contents import Key
from gateway.config.files import read_source
from gateway.config.model import GatewayConfig
from gateway.config.problems import Problems, Source
from gateway.errors import ConfigProblem


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem, and how far it reaches.

    Attributes:
        problem: What is wrong, and in which line.
        tunnel: The only tunnel that it keeps from working, or empty.
        link: The only link that it keeps from working, or empty.
    """

    problem: ConfigProblem
    tunnel: str = ""
    link: str = ""

    @property
    def is_general(self) -> bool:
        """Whether it keeps the whole gateway from working."""
        return not (self.tunnel or self.link)

    @property
    def sign(self) -> tuple[str, str]:
        """What two findings of one fault have in common, whatever the line."""
        return self.problem.key, self.problem.expected


@dataclass
class Notes:
    """Collects findings and warnings about one configuration.

    Attributes:
        config: The configuration, itself without problems.
        findings: What does not work.
        warnings: What works, and will not for long or not as meant.
        remarks: What is as it should be, and is worth knowing.
    """

    config: GatewayConfig
    findings: list[Finding] = field(default_factory=list)
    warnings: list[ConfigProblem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def refuse(self, key: Key, expected: str, found: str) -> None:
        """Note what does not work; the key says how far it reaches."""
        kind, name = (*key, "")[:2]
        self.findings.append(
            Finding(
                self._problem(key, expected, found),
                tunnel=name if kind == "tunnels" else "",
                link=name if kind == "links" else "",
            )
        )

    def warn(self, key: Key, expected: str, found: str) -> None:
        """Note what works now."""
        self.warnings.append(self._problem(key, expected, found))

    @cached_property
    def _sources(self) -> dict[Path, Source]:
        # Read a second time, for the lines alone, and only if there is one to name.
        sources = {}
        for file in self.config.files:
            source = read_source(file, Problems())
            if source is not None:
                sources[file] = source
        return sources

    def _problem(self, key: Key, expected: str, found: str) -> ConfigProblem:
        problems = Problems()
        file = self._file_of(key)
        source = self._sources.get(file)
        if source is not None:
            problems.add(source, key, expected, found)
        else:
            problems.add_at(file, 0, ".".join(key), expected, found)
        return problems.found[0]

    def _file_of(self, key: Key) -> Path:
        for file, source in self._sources.items():
            if key[0] in ("links", "tunnels") and key[:2] in source.lines:
                return file
        return self.config.files[0]
