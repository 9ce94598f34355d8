"""Files of the daemon's own that a crash, a disk or a restore may have changed."""

import json
import logging
from collections.abc import Iterator

from gateway.dataplane.fence.base import FencedTunnel, FencePlan
from gateway.dataplane.fence.plan_file import read_plan, write_plan
from gateway.errors import GatewayError
from gateway.handshake.limits import MAX_EPOCH
from gateway.tunnels.records import StateDirectory
from tests.fuzz.target import Target, scratch


def read_state(data: bytes) -> None:
    """Take a record that makes sense, or none; then write and read it again."""
    StateDirectory(scratch())
    file = scratch() / "tunnels" / "paris.json"
    file.write_bytes(data)
    record = StateDirectory(scratch()).record("paris")
    assert 1 <= record.index <= 65_535
    assert 0 <= record.in_force <= record.epoch <= MAX_EPOCH
    record.peer_address()
    directory = StateDirectory(scratch())
    directory.committed("paris", record.epoch + 1, record.expires_at, record.peer)
    directory.committed("paris", record.epoch + 1, record.expires_at, record.peer)
    assert len(file.read_bytes()) <= 4096


def read_fence(data: bytes) -> None:
    """Take a plan, or say that it is damaged; what is taken can be written again."""
    file = scratch() / "fence.json"
    file.write_bytes(data)
    plan = read_plan(file)
    write_plan(file, plan)
    assert read_plan(file) == plan


def run(data: bytes) -> None:
    logging.getLogger("gateway").setLevel(logging.CRITICAL)
    if data[:1] == b"F":
        try:
            read_fence(data[1:])
        except GatewayError as error:
            assert error.message.endswith("is damaged")
    else:
        read_state(data)


def seeds() -> Iterator[bytes]:
    record = {
        "index": 3,
        "epoch": 9,
        "in_force": 8,
        "expires_at": 12.5,
        "boot_id": "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
        "carried": [1, 2, 3, 4],
        "peer": "[2001:db8::2]:51810",
    }
    yield json.dumps(record).encode()
    yield json.dumps({**record, "epoch": MAX_EPOCH}).encode()
    tunnel = FencedTunnel("paris", ("10.2.0.0/16", "2001:db8::/32"), ("10.1.0.0/16",))
    file = scratch() / "seed.json"
    write_plan(file, FencePlan((tunnel,), ("192.0.2.0/30",), (51810,)))
    yield b"F" + file.read_bytes()


TARGET = Target(
    "state and fence files: what makes sense is taken, all else told as damaged",
    run,
    seeds,
    1024,
    (
        *(b'"index":', b'"epoch":', b'"in_force":', b'"expires_at":', b'"boot_id":'),
        *(b'"carried":', b'"peer":', b'"tunnels":', b'"exempt":', b'"ports":'),
        *(b"18446744073709551615", b"1e999", b"NaN", b"null", b"true", b"-1"),
    ),
)
