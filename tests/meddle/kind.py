"""A kind of interference: what is done, and what must hold while it lasts.

A kind is a generator over a `Spot`. It does something, and yields what must hold from
then on; it is resumed to do the next thing, or to undo what it did. At its end
everything must flow again, except where `last_word` says that it undid nothing and its
last `yield` said it all.
"""

import contextlib
import random  # noqa: TID251  # steps must replay from their seed; it guards nothing
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lab.gateway import TUNNEL, Gateway
from lab.inside import open_socket
from lab.netns import COMMAND_TIMEOUT, Namespace, run
from lab.two_sites import Side, other

from gateway.config.identity_files import write_public_identity
from gateway.crypto.identity import encode_public, generate_identity
from gateway.errors import ControlError
from tests.meddle.configuration import Configuration
from tests.meddle.judge import HEALS, LIFETIME, wait_for
from tests.meddle.laboratory import Laboratory
from tests.meddle.slowness import SLOW

BY_LIFETIME = LIFETIME + 1.0
"""Seconds after which nothing passes that no epoch in force renews."""


@dataclass(frozen=True, slots=True)
class Phase:
    """What must hold from now on.

    Attributes:
        flows: Kinds of flow that must flow again; others may.
        heals: Seconds until they flow again.
        lasts: Seconds until the next thing is done, at least.
        up: Whether both ends come to say ``up``.
        not_up: Letters of the ends that come to say something else.
        stops_by: Seconds after which nothing passes any more, or None.
        causes: Words that then stand in some reason or hint.
    """

    flows: tuple[str, ...] = ()
    heals: float = HEALS
    lasts: float = 0.0
    up: bool = False
    not_up: str = ""
    stops_by: float | None = None
    causes: tuple[str, ...] = ()


ALL = ("pc", "own", "in")
"""Every kind of flow."""

FLOWS = Phase(ALL, up=True)
"""Everything flows and both ends say so."""

PROGRAM_STARTS = 2.0 * SLOW
"""Seconds in which a program of ours starts, on a machine with other work."""

RESTARTED = Phase(ALL, up=True, heals=HEALS + PROGRAM_STARTS)
"""The same, where a program must be started for it."""

STAYS = Phase(ALL)
"""Everything flows; a daemon may be dead or busy."""


def free(lasts: float) -> Phase:
    """Traffic may stop, for so many seconds: but nothing is in clear or untrue."""
    return Phase(lasts=lasts)


Steps = Iterator[Phase]
Play = Callable[["Spot"], Steps]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind.

    Attributes:
        name: What it is called on the command line and in findings.
        play: What it does.
        planes: Planes that it concerns; empty for all.
        needs: What the kernel must have: ``nft``, ``vrf``, ``clock`` if it may be set.
        last_word: Whether its last `yield` says what holds at its end.
        seconds: What it takes, about, where that is long.
    """

    name: str
    play: Play
    planes: tuple[str, ...] = ()
    needs: str = ""
    last_word: bool = False
    seconds: float = 2.0


ALL_KINDS: dict[str, Kind] = {}
"""By name; filled by `kind` as the modules are imported."""

ESP = ("esp",)
WIREGUARD = ("wireguard", "wireguard-go")


def kind(
    *,
    planes: tuple[str, ...] = (),
    needs: str = "",
    last_word: bool = False,
    seconds: float = 2.0,
) -> Callable[[Play], Play]:
    """Enter a function into the table under its own name, with dashes."""

    def enter(play: Play) -> Play:
        name = play.__name__.replace("_", "-")
        assert name not in ALL_KINDS, name
        ALL_KINDS[name] = Kind(name, play, planes, needs, last_word, seconds)
        return play

    return enter


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a kind strikes.

    Attributes:
        lab: Everything.
        letter: The end it strikes.
        chance: What it draws from.
    """

    lab: Laboratory
    letter: str
    chance: random.Random

    @property
    def peer(self) -> str:
        """The letter of the other end."""
        return other(self.letter)

    @property
    def side(self) -> Side:
        """The end's site."""
        return self.lab.side(self.letter)

    @property
    def host(self) -> Namespace:
        """The gateway's host."""
        return self.side.gateway

    @property
    def end(self) -> Gateway:
        """The gateway."""
        return self.lab.ends[self.letter]

    @property
    def file(self) -> Configuration:
        """Its configuration."""
        return self.lab.files[self.letter]

    def far(self) -> "Spot":
        """Return the other end."""
        return Spot(self.lab, self.peer, self.chance)

    def both(self) -> "tuple[Spot, Spot]":
        """Return this end and the other."""
        return self, self.far()

    def ip(self, *arguments: str, check: bool = True) -> str:
        """Run `ip` at the gateway."""
        return run("ip", "-n", self.host.name, *arguments, check=check)

    def router(self, *arguments: str, check: bool = True) -> str:
        """Run `ip` at the router."""
        return run("ip", "-n", self.lab.sites.router, *arguments, check=check)

    def sysctl(self, setting: str) -> None:
        """Set a setting of the gateway's kernel."""
        self.host.run("sysctl", "-qw", setting)

    def nft(self, script: str) -> None:
        """Load a ruleset at the gateway as an administrator would.

        Raises:
            RuntimeError: nft refused it.
        """
        done = subprocess.run(  # noqa: S603  # a script of ours
            ("ip", "netns", "exec", self.host.name, "nft", "-f", "-"),  # noqa: S607
            input=script,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_TIMEOUT,
        )
        if done.returncode:
            raise RuntimeError(f"nft: {done.stderr.strip()}")

    def end_carriers(self) -> None:
        """End the processes that outlive the daemon, and wait until they have."""
        self.end.end_children()
        assert wait_for(lambda: not self.end.namespace_pids(), 5.0), "they live on"
        for device in self.devices():
            self.ip("link", "del", "dev", device, check=False)

    def squat(self, port: int) -> contextlib.ExitStack:
        """Take a UDP port of the gateway, as another program would, until closed."""
        taken = contextlib.ExitStack()
        for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104
            sock = taken.enter_context(
                open_socket(self.host.name, family, socket.SOCK_DGRAM)
            )
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((address, port))
        return taken

    def stranger(self, number: int) -> str:
        """Write the public file of a peer that is nowhere; return its name."""
        path = self.end.folder / f"stranger-{number}.pub"
        if not path.exists():
            write_public_identity(path, encode_public(generate_identity(1).public))
        return path.name

    def nft_against_ours(self, script: str) -> None:
        """Change our own table; a kernel that lets nobody else do so may refuse."""
        try:
            self.nft(script)
        except RuntimeError as error:
            if "Operation not permitted" not in str(error):
                raise

    def devices(self) -> list[str]:
        """Return the devices that carry tunnels."""
        return self.lab.devices(self.letter)

    def reload(self) -> dict[str, object]:
        """Have the daemon read its file again; return what it applied.

        Raises:
            ControlError: It refuses.
        """
        answer: dict[str, object] = self.end.call("reload")
        return answer

    def refused(self) -> str:
        """Reload, expect a refusal, and return all that it says.

        Raises:
            AssertionError: The daemon took it.
        """
        try:
            said = self.reload()
        except ControlError as error:
            return "\n".join((error.message, error.hint, *error.details))
        raise AssertionError(f"the reload was not refused: {said}")

    def rewrite(self, **values: object) -> None:
        """Change keys of the tunnel in the file and reload; None removes one."""
        for key, value in values.items():
            if value is None:
                self.file.tunnel.pop(key, None)
            else:
                self.file.tunnel[key] = value  # type: ignore[assignment]
        self.file.write()
        self.reload()

    def reset(self) -> None:
        """Write the file as it was at the start and reload."""
        self.file.reset()
        self.reload()

    def order(self, method: str) -> None:
        """Give an order that concerns the tunnel: ``tunnel.rotate``."""
        self.end.call(method, name=TUNNEL)
