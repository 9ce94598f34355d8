"""The plan from files: whatever else is wrong with them, what they name is refused."""

from pathlib import Path

import pytest

from gateway.dataplane.fence.base import FencedTunnel
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
