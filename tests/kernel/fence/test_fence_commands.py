"""``qgw fence`` on a gateway whose daemon does not run."""

import json
import sys
from pathlib import Path

import pytest

from gateway.dataplane.fence.base import FencedTunnel, FencePlan
from gateway.dataplane.fence.plan_file import write_plan
from tests.kernel.fence.place import DEVICE, NAME, PLAN, REMOTE, Place


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "fence.json"
    write_plan(path, PLAN)
    return path


def qgw(place: Place, *arguments: str) -> str:
    # No daemon of this host may be taken for the gateway's.
    command = (sys.executable, "-m", "gateway.cli.main", "--socket", "/none")
    return place.run("gateway", *command, "fence", *arguments)


def test_a_boot_refuses_before_any_daemon_runs(place: Place, plan: Path) -> None:
    place.divert()
    assert qgw(place, "show") == "no fence: the nftables table inet qgw is not there\n"
    assert qgw(place, "load", str(plan)) == "loaded: 1 tunnel, nothing may pass\n"
    for version in (4, 6):
        assert place.outward(version) == {"lan": set(), "gateway": {"refused"}}
        assert place.inward(version, "wan") == {"lan": set(), "gateway": set()}
    shown = json.loads(qgw(place, "show", "--json"))
    assert shown["tunnels"][NAME] == {
        "dropped_out": 4,
        "dropped_in": 4,
        "granted": 0.0,
    }


@pytest.mark.parametrize("record", [None, "{}"])
def test_a_boot_without_a_record_refuses_what_the_configuration_names(
    place: Place, tmp_path: Path, record: str | None
) -> None:
    place.divert()
    main = tmp_path / "gateway.toml"
    main.write_text(
        '[gateway]\nstate_dir = "."\n[tunnels.a-b]\n'
        f"remote_subnets = {list(PLAN.tunnels[0].remote)}\n"
    )
    if record is not None:
        (tmp_path / "fence.json").write_text(record)
    command = (sys.executable, "-m", "gateway.cli.main", "--config", str(main))
    said = place.run("gateway", *command, "--socket", "/none", "fence", "load")
    assert said == "loaded: 1 tunnel, nothing may pass\n"
    for version in (4, 6):
        assert place.outward(version) == {"lan": set(), "gateway": {"refused"}}


def test_a_boot_refuses_what_record_and_configuration_name_together(
    place: Place, tmp_path: Path
) -> None:
    place.divert()
    main = tmp_path / "gateway.toml"
    four, six = (("10.2.0.0/16", "10.2.0.0/24"), ("fd00:2::/48", "fd00:2::/64"))
    command = (sys.executable, "-m", "gateway.cli.main", "--config", str(main))
    load = (*command, "--socket", "/none", "fence", "load")
    for (recorded, own), (named, local) in ((four, six), (six, four)):
        # Each exempts as its own what the other refuses.
        record = FencePlan((FencedTunnel(NAME, (recorded,), (local,)),))
        write_plan(tmp_path / "fence.json", record)
        main.write_text(
            '[gateway]\nstate_dir = "."\n[tunnels.b-c]\n'
            f'remote_subnets = ["{named}"]\nlocal_subnets = ["{own}"]\n'
        )
        assert place.run("gateway", *load) == (
            f"refused too, though not in the record: {named} of b-c\n"
            "loaded: 2 tunnels, nothing may pass\n"
        )
        for version in (4, 6):
            assert place.outward(version) == {"lan": set(), "gateway": {"refused"}}
        assert qgw(place, "remove") == "removed\n"


def test_an_old_record_opens_nothing_of_a_new_prefix(
    place: Place, tmp_path: Path
) -> None:
    """The host's own networks of then may be the far site's by now."""
    place.divert()
    main = tmp_path / "gateway.toml"
    command = (sys.executable, "-m", "gateway.cli.main", "--config", str(main))
    load = (*command, "--socket", "/none", "fence", "load")
    own = ("10.2.0.0/24", "fd00:2::/64")
    old = ("10.2.0.0/17", "fd00:2::/49")
    write_plan(
        tmp_path / "fence.json", FencePlan((FencedTunnel(NAME, old),), exempt=own)
    )
    for named, expected in ((old, {"wan"}), (PLAN.tunnels[0].remote, {"refused"})):
        main.write_text(
            '[gateway]\nstate_dir = "."\n[tunnels.a-b]\n'
            f"remote_subnets = {list(named)}\n"
        )
        place.run("gateway", *load)
        for version in (4, 6):
            assert place.arrivals("gateway", REMOTE[version]) == expected
        assert qgw(place, "remove") == "removed\n"


def test_a_fence_that_stands_is_left_as_it_is(place: Place, plan: Path) -> None:
    fence = place.fence()
    fence.load(PLAN)
    fence.grant(NAME, DEVICE, 600)
    assert "stands already" in qgw(place, "load", str(plan))
    fence.close()
    assert "stands already" in qgw(place, "load", str(plan))
    assert place.arrivals("gateway", REMOTE[4]) == {"far"}
    lines = qgw(place, "show").splitlines()
    assert lines[1] == "  tunnels: 1, of which 1 may pass"
    assert lines[4].startswith("a-b     9m")


def test_it_goes_when_an_operator_says_so(place: Place, plan: Path) -> None:
    qgw(place, "load", str(plan))
    place.divert()
    assert qgw(place, "remove") == "removed\n"
    assert qgw(place, "remove") == "there is no fence\n"
    assert place.arrivals("gateway", REMOTE[4]) == {"wan"}


def test_an_uninstallation_leaves_nothing_of_ours(place: Place, plan: Path) -> None:
    qgw(place, "load", str(plan))
    place.ip(
        "gateway",
        "link set tun0 alias qgw:a-b",
        "rule add pref 5157 not fwmark 0x51570000/0xffff0000 lookup 5157",
        "route add unreachable 10.2.0.0/16 table 5157",
    )
    said = qgw(place, "remove", "--everything").splitlines()
    assert said[:2] == [
        "removed 1 interface",
        "removed routing table 5157 and its rules",
    ]
    assert said[-1] == "removed the fence"
    assert "5157" not in place.run("gateway", "ip", "rule")
    assert "tun0" not in place.run("gateway", "ip", "link")
    assert place.run("gateway", "nft", "list", "ruleset") == ""
    assert qgw(place, "remove", "--everything") == ""
