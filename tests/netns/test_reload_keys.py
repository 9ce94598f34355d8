"""Every key of a tunnel changed alone and back, by reload, while packets flow.

What the tables of `gateway.config.diff` call changed in place loses no packet; for
what is made anew nothing leaves in clear, and the tunnel comes back.
"""

import base64
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import pytest
from lab.gateway import Gateway
from lab.netns import Namespace, run

from gateway.config.diff import (
    PSK,
    TUNNEL_ADOPTED,
    TUNNEL_AT_ONCE,
    TUNNEL_BY_EPOCH,
    TUNNEL_IGNORED,
    TUNNEL_REBUILT,
)
from gateway.config.model import TunnelConfig
from tests.netns.labs import INTERVAL, TUNNEL, Lab, make_lab, plane, qgw, state, until

IN_PLACE = TUNNEL_AT_ONCE | TUNNEL_BY_EPOCH | TUNNEL_ADOPTED
ONE_END_LATE = 3.5
"""Seconds from the second end's reload to an epoch in force: what is left of an attempt
under the old secret (1 s), the wait after it, a handshake and WireGuard's own."""

OTHER_ADDRESS = "198.51.100.2"
"""A second address of the peer."""


@dataclass(frozen=True)
class Change:
    """How a key is changed.

    Attributes:
        lines: TOML that replaces every line of these keys.
        both: Whether both ends must agree on it.
        mirrored: What the other end's lines are, where they differ.
    """

    lines: str
    both: bool = False
    mirrored: str = ""


CHANGES = {
    "addresses": Change('addresses = ["10.71.0.1/32", "fd71::1/128", "10.79.0.1/32"]'),
    "encap": Change("encap = true", both=True),
    "endpoint": Change(f'endpoint = "{OTHER_ADDRESS}:51810"'),
    "interface": Change('interface = "qgw-other"'),
    "link": Change('link = "other"\nqkd = "preferred"', both=True),
    "local_address": Change('local_address = "{own}"'),
    "local_subnets": Change(
        'local_subnets = ["10.71.0.0/24", "fd71::/64", "10.73.0.0/24"]'
    ),
    "max_epoch_lifetime": Change("max_epoch_lifetime = 40.0"),
    "mtu": Change("mtu = 1300"),
    "peer_identity": Change('peer = "copy.pub"'),
    "plane": Change('plane = "auto"'),
    "psk_file": Change('psk = "psk"', both=True),
    "qkd": Change('qkd = "preferred"'),
    "qkd_every": Change("qkd_every = 3"),
    "remote_subnets": Change(
        'remote_subnets = ["10.72.0.0/24", "fd72::/64", "10.74.0.0/24"]'
    ),
    "role": Change('role = "responder"', both=True, mirrored='role = "initiator"'),
    "rotation_interval": Change("rotation_interval = 2.5"),
}
"""By field of the configuration; `enabled` stops the traffic, which is its purpose."""


@pytest.fixture(scope="module")
def shared(pair: tuple[Namespace, Namespace]) -> Iterator[Lab]:
    """Two gateways in force, with all that the changes name."""
    for host, address in zip(pair, ("198.51.100.1", OTHER_ADDRESS), strict=True):
        run("ip", "-n", host.name, "addr", "add", f"{address}/24", "dev", host.device)
    with make_lab(pair, lifetime=30.0) as lab:
        psk = base64.b64encode(os.urandom(32)) + b"\n"
        for end in lab.ends:
            shutil.copy(end.folder / "peer.pub", end.folder / "copy.pub")
            (end.folder / "psk").touch(mode=0o600)
            (end.folder / "psk").write_bytes(psk)
            path = end.folder / "gateway.toml"
            path.write_text(path.read_text() + '\n[links.other]\nsource = "file"\n')
        lab.start()
        yield lab


@pytest.fixture(autouse=True)
def _is_up(shared: Lab) -> Iterator[None]:
    """Each test begins with traffic flowing, and leaves the configuration as it was."""
    until(lambda: state(shared.a) == state(shared.b) == "up", "the tunnel")
    files = [end.folder / "gateway.toml" for end in shared.ends]
    before = [path.read_text() for path in files]
    yield
    for end, path, text in zip(shared.ends, files, before, strict=True):
        if path.read_text() != text:
            path.write_text(text)
            reload(end)


def change(end: Gateway, lines: str) -> dict[str, Any]:
    """Put lines in place of those of the same keys; reload; return the answer."""
    path = end.folder / "gateway.toml"
    text = path.read_text()
    head, middle, tail = re.split(rf"(\[tunnels\.{TUNNEL}\]\n)", text)
    body, links, rest = tail.partition("\n[links.other]")
    lines = lines.format(own=end.namespace.address)
    for line in lines.splitlines():
        key = line.split(" = ")[0]
        body = re.sub(rf"^{key} = .*\n?", "", body, flags=re.MULTILINE)
    path.write_text(f"{head}{middle}{lines}\n{body}{links}{rest}")
    return reload(end)


def reload(end: Gateway) -> dict[str, Any]:
    done = qgw(end, "reload", "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["failed"] == {}
    return answer


def test_every_key_is_here() -> None:
    names = {field.name for field in fields(TunnelConfig)} - TUNNEL_IGNORED
    assert names == set(CHANGES) | {"enabled"}


@pytest.mark.lossless
@pytest.mark.parametrize(
    "key",
    [
        pytest.param(
            key,
            marks=[pytest.mark.may_skip("the lanes of ESP change encap")]
            if key == "encap"
            else [],
        )
        for key in sorted(CHANGES)
    ],
)
def test_a_key_changed_and_back(shared: Lab, key: str) -> None:
    if key == "encap" and plane() != "esp":
        pytest.skip("only ESP has encap; the lanes of ESP change it")
    wanted = CHANGES[key]
    ends = shared.ends if wanted.both else shared.ends[:1]
    before = [end.folder.joinpath("gateway.toml").read_text() for end in ends]
    with shared.traffic(6.0) as result:
        for end, lines in zip(ends, (wanted.lines, wanted.mirrored), strict=False):
            answer = change(end, lines or wanted.lines)
            if key == "interface" and plane() != "esp":
                assert answer["changed"] == [], "no interface of WireGuard's is meant"
            elif key != "plane":
                assert TUNNEL in answer["changed"], answer
        shared.next()
        for end, text in zip(ends, before, strict=True):
            end.folder.joinpath("gateway.toml").write_text(text)
            reload(end)
        shared.next()
    assert result["sent"] > 500
    if key in IN_PLACE or key == "plane":
        assert result["lost"] == 0, (key, result)


@pytest.mark.lossless
@pytest.mark.parametrize("which", [0, 1])
def test_a_prefix_added_at_either_end(shared: Lab, which: int) -> None:
    """The responder's reload must not make it wait for the initiator's next slot."""
    end = shared.ends[which]
    own = {0: "10.72.0.0/24", 1: "10.71.0.0/24"}[which]
    epoch, began = shared.newest(), time.monotonic()
    with shared.traffic(3.0) as result:
        for more in ('", "10.75.0.0/24"', '"'):
            answer = change(end, f'remote_subnets = ["{own}{more}]')
            assert answer["details"] == {TUNNEL: "remote_subnets"}
            time.sleep(0.5)
    assert result["lost"] == 0
    on_schedule = (time.monotonic() - began) / INTERVAL + 2
    assert shared.newest() - epoch <= on_schedule  # and no epochs but those


@pytest.mark.lossless
def test_the_content_of_a_psk_file(shared: Lab) -> None:
    """Both ends get another PSK, one after the other, under traffic."""
    for end in shared.ends:
        change(end, 'psk = "psk"')
    shared.next()
    fresh = base64.b64encode(os.urandom(32)) + b"\n"
    with shared.traffic(4.0) as result:
        for end in shared.ends:
            (end.folder / "psk").write_bytes(fresh)
            assert reload(end)["details"] == {TUNNEL: PSK}
        shared.next()
    assert result["lost"] == 0
    log = "".join(end.log.read_text() for end in shared.ends)
    assert fresh.decode().strip() not in log


@pytest.mark.lossless
@pytest.mark.parametrize("first", [0, 1])
def test_a_psk_that_one_end_has_long_before_the_other(shared: Lab, first: int) -> None:
    """The second end's reload ends what failed until then, whatever it was waiting."""
    for end in shared.ends:
        change(end, 'psk = "psk"')
    shared.next()
    fresh = base64.b64encode(os.urandom(32)) + b"\n"
    with shared.traffic(9.0) as result:
        (shared.ends[first].folder / "psk").write_bytes(fresh)
        reload(shared.ends[first])
        time.sleep(INTERVAL)
        assert "PSK" in qgw(shared.a, "tunnel", "show", TUNNEL).stdout
        (shared.ends[1 - first].folder / "psk").write_bytes(fresh)
        reload(shared.ends[1 - first])
        began = time.monotonic()
        shared.next()
        assert time.monotonic() - began < ONE_END_LATE
    assert result["lost"] == 0


def test_only_another_plane_is_another_tunnel() -> None:
    assert {"plane"} == TUNNEL_REBUILT
