"""The virtual machine has what was asked for, and lacks what was switched off."""

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(180)

ROOT = Path(__file__).resolve().parents[3]

RULES = """
table inet probe {
  set links { type ifname; flags timeout; elements = { "lo" timeout 5s } }
  set marks { type mark; flags timeout; elements = { 7 timeout 5s } }
  chain input {
    type filter hook input priority 0
    iifname @links accept
    ct state established fib saddr type local ipsec in reqid 7 counter accept
    meta mark @marks reject
  }
  chain nat { type nat hook postrouting priority 100; oifname "x" masquerade; }
}
"""

LOOK = f"""
uname -r
ip link add v type vrf table 9 && echo vrf
ip link add w type wireguard && echo wireguard
ip link add x type xfrm dev lo if_id 1 && echo xfrm
tc qdisc add dev lo root netem delay 1ms && echo netem
nft -f - <<'END' && echo nft
{RULES}
END
exit 3
"""


def in_vm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # a script of ours
        (ROOT / "scripts/in-vm", *arguments),
        check=False,
        capture_output=True,
        text=True,
        timeout=170,
    )


@pytest.mark.parametrize("lacking", ["", "xfrm_interface"])
def test_what_the_guest_can_do(lacking: str) -> None:
    options = ("--without", lacking) if lacking else ()
    done = in_vm(*options, "--", "/bin/bash", "-c", LOOK)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Aborted" not in done.stderr
    release, *words = done.stdout.split("\n")
    assert release == (kernel_folder() / "release").read_text().strip()
    found = [word for word in words if word.isalpha()]
    expected = ["vrf", "wireguard", "xfrm", "netem", "nft"]
    assert found == [word for word in expected if not lacking or word != "xfrm"]


def kernel_folder() -> Path:
    done = subprocess.run(  # noqa: S603  # a script of ours
        (ROOT / "tools/machines/vm-kernel",), check=True, capture_output=True, text=True
    )
    return Path(done.stdout.strip())


def test_a_kernel_that_is_not_to_be_had_is_refused() -> None:
    done = in_vm("--kernel", "5.99", "--", "true")
    assert done.returncode == 125
    assert "no kernel 5.99; it knows linux-image-" in done.stderr


def test_modules_are_named_as_the_kernel_names_them() -> None:
    done = in_vm("--without", "xfrm interface", "--", "true")
    assert done.returncode == 125
    assert "not the name of a module" in done.stderr
