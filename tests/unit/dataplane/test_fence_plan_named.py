"""The plan from files: whatever else is wrong with them, what they name is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.dataplane.fence.base import FencedTunnel, FencePlan
from gateway.dataplane.fence.plan import exempt_too
from gateway.dataplane.fence.plan_named import plan_named
from gateway.errors import GatewayError

TEXT = """
[gateway]
listen = 7
[tunnels.a-b]
nonsense = true
remote_subnets = ["10.2.0.0/16", "10.3.0.1/16", 4]
local_subnets = ["10.1.0.0/16"]
addresses = ["10.9.0.1/30", "10.9.1.1"]
"""


def test_prefixes_are_taken_and_the_rest_is_said(tmp_path: Path) -> None:
    main = tmp_path / "gateway.toml"
    main.write_text(TEXT)
    folder = tmp_path / "tunnels.d"
    folder.mkdir()
    (folder / "c.toml").write_text('[tunnels.c]\nremote_subnets = ["fd00:2::/48"]\n')
    (folder / "d.toml").write_text("[tunnels.d\n")
    plan, unread = plan_named(main)
    assert plan.tunnels == (
        FencedTunnel("a-b", ("10.2.0.0/16", "10.9.0.0/30"), ("10.1.0.0/16",)),
        FencedTunnel("c", ("fd00:2::/48",), ()),
    )
    assert (plan.exempt, plan.ports) == ((), ())
    assert len(unread) == 3
    assert "d.toml" in unread[-1]


def test_a_main_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GatewayError, match=r"gateway\.toml"):
        plan_named(tmp_path / "gateway.toml")


def test_a_folder_that_is_a_symlink_to_nothing_is_told(tmp_path: Path) -> None:
    main = tmp_path / "gateway.toml"
    main.write_text("[gateway]\n")
    assert plan_named(main) == (FencePlan(), ())
    (tmp_path / "tunnels.d").symlink_to(tmp_path / "unmounted")
    _, unread = plan_named(main)
    (said,) = unread
    assert "tunnels.d" in said
    assert "no such file or directory" in said


@pytest.mark.parametrize(
    ("recorded", "named", "is_exempt"),
    [
        ("10.2.0.0/16", "10.2.0.0/16", True),
        ("0.0.0.0/0", "0.0.0.0/0", True),
        ("10.2.0.0/16", "10.2.0.0/15", False),
        ("10.2.0.0/16", "0.0.0.0/0", False),
        ("10.0.0.0/8", "10.2.0.0/16", False),
        ("10.3.0.0/16", "10.2.0.0/16", False),
    ],
)
def test_an_old_record_exempts_nothing_from_a_prefix_it_does_not_know(
    recorded: str, named: str, *, is_exempt: bool
) -> None:
    network = "10.2.5.0/24"
    record = FencePlan((FencedTunnel("a-b", (recorded,)),), exempt=(network,))
    plan = FencePlan((FencedTunnel("a-b", (named,)),))
    assert exempt_too(plan, record) == ((network,) if is_exempt else ())


@pytest.mark.parametrize("network", ["128.0.0.0/1", "2a00::/15"])
def test_an_old_record_exempts_no_half_of_the_internet(network: str) -> None:
    """Written before such networks took an operator who names them."""
    both = FencedTunnel("a-b", ("0.0.0.0/0", "::/0"))
    assert exempt_too(FencePlan((both,)), FencePlan((both,), exempt=(network,))) == ()
    named = FencePlan((FencedTunnel("a-b", both.remote, (network,)),))
    assert exempt_too(named, replace(named, exempt=(network,))) == (network,)
