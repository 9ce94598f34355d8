"""What survives a restart, and what becomes of it when it is damaged."""

import json
import os
from pathlib import Path

import pytest

from gateway.crypto.identity import format_fingerprint, generate_identity
from gateway.errors import GatewayError
from gateway.handshake.limits import MAX_EPOCH
from gateway.tunnels.records import StateDirectory, TunnelRecord

RECORD = '{"index": 1, "epoch": 1, "expires_at": 1, "boot_id": "", "carried": %s}'


def path(folder: Path, tunnel: str = "paris") -> Path:
    return folder / "tunnels" / f"{tunnel}.json"


def test_what_was_committed_is_remembered(tmp_path: Path) -> None:
    StateDirectory(tmp_path).committed("paris", 7, 123.0)
    again = StateDirectory(tmp_path)
    record = again.record("paris")
    assert (record.epoch, record.expires_at) == (7, 123.0)
    assert again.is_current(record, now=122.9)
    assert not again.is_current(record, now=123.0)


def test_nothing_of_another_boot_is_current(tmp_path: Path) -> None:
    StateDirectory(tmp_path).committed("paris", 7, 1e9)
    value = json.loads(path(tmp_path).read_text())
    path(tmp_path).write_text(json.dumps({**value, "boot_id": "another"}))
    again = StateDirectory(tmp_path)
    assert again.record("paris").epoch == 7
    assert not again.is_current(again.record("paris"), now=0.0)


def test_what_was_carried_is_remembered_until_the_next_boot(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.committed("paris", 7, 123.0)
    state.count("paris", (1, 2, 3, 4))
    state.committed("paris", 8, 124.0)
    again = StateDirectory(tmp_path)
    assert again.carried("paris") == (1, 2, 3, 4)
    assert again.record("paris").epoch == 8
    value = json.loads(path(tmp_path).read_text())
    path(tmp_path).write_text(json.dumps({**value, "boot_id": "another"}))
    later = StateDirectory(tmp_path)
    assert later.carried("paris") == (0, 0, 0, 0)
    later.committed("paris", 9, 125.0)
    assert StateDirectory(tmp_path).carried("paris") == (0, 0, 0, 0)


def test_nothing_is_counted_of_a_tunnel_that_was_removed(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.committed("paris", 7, 123.0)
    state.forget("paris")
    state.count("paris", (1, 2, 3, 4))
    assert state.carried("paris") == (0, 0, 0, 0)
    assert not path(tmp_path).exists()


def test_a_record_of_before_there_were_counts_is_read(tmp_path: Path) -> None:
    StateDirectory(tmp_path).committed("paris", 7, 123.0)
    value = json.loads(path(tmp_path).read_text())
    del value["carried"]
    path(tmp_path).write_text(json.dumps(value))
    again = StateDirectory(tmp_path)
    assert (again.record("paris").epoch, again.carried("paris")) == (7, (0, 0, 0, 0))


def test_the_end_of_what_was_in_force_is_remembered(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.committed("paris", 7, 100.0)
    assert StateDirectory(tmp_path).record("paris").in_force == 0
    state.came_into_force("paris", 7, 123.0)
    state.committed("paris", 8, 123.0)
    record = StateDirectory(tmp_path).record("paris")
    assert (record.epoch, record.in_force, record.expires_at) == (8, 7, 123.0)


def test_a_record_of_an_earlier_release_was_in_force(tmp_path: Path) -> None:
    StateDirectory(tmp_path).committed("paris", 7, 100.0)
    value = json.loads(path(tmp_path).read_text())
    del value["in_force"]
    path(tmp_path).write_text(json.dumps(value))
    assert StateDirectory(tmp_path).record("paris").in_force == 7


def test_an_epoch_that_no_gateway_reaches_is_refused_with_a_hint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    StateDirectory(tmp_path).committed("paris", MAX_EPOCH, 1.0)
    assert StateDirectory(tmp_path).record("paris").epoch == MAX_EPOCH
    StateDirectory(tmp_path).committed("paris", MAX_EPOCH + 1, 1.0)
    assert StateDirectory(tmp_path).record("paris").epoch == 0
    assert str(path(tmp_path)) in caplog.text
    assert "the peer will say which epoch comes next" in caplog.text


def test_another_peer_starts_anew_and_keeps_the_index(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.record("rome")
    assert state.bind("paris", "AAAA").identity == "AAAA"
    state.committed("paris", MAX_EPOCH, 9.0, "203.0.113.7:1")
    state.came_into_force("paris", MAX_EPOCH, 9.0)
    state.count("paris", (1, 2, 3, 4))
    same = StateDirectory(tmp_path).bind("paris", "AAAA")
    assert (same.index, same.epoch, same.in_force) == (2, MAX_EPOCH, MAX_EPOCH)
    again = StateDirectory(tmp_path)
    assert again.bind("paris", "BBBB") == TunnelRecord(2, identity="BBBB")
    assert StateDirectory(tmp_path).record("paris") == again.record("paris")
    assert again.carried("paris") == (0, 0, 0, 0)


def test_a_record_of_an_earlier_release_is_bound_to_the_peer_of_now(
    tmp_path: Path,
) -> None:
    StateDirectory(tmp_path).committed("paris", 7, 1.0)
    state = StateDirectory(tmp_path)
    assert state.bind("paris", "AAAA").epoch == 7
    state.committed("paris", 8, 1.0)
    assert StateDirectory(tmp_path).bind("paris", "BBBB").epoch == 0


def test_indexes_are_unique_stable_and_used_again(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    indexes = [state.record(name).index for name in ("a", "b", "c")]
    assert indexes == [1, 2, 3]
    assert StateDirectory(tmp_path).record("b").index == 2
    state.forget("b")
    assert state.record("d").index == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        '"text"',
        "{}",
        '{"index": 0, "epoch": 1, "expires_at": 1, "boot_id": ""}',
        '{"index": 65536, "epoch": 1, "expires_at": 1, "boot_id": ""}',
        '{"index": 1, "epoch": -1, "expires_at": 1, "boot_id": ""}',
        '{"index": 1, "epoch": 18446744073709551616, "expires_at": 1, "boot_id": ""}',
        '{"index": 1e999, "epoch": 1, "expires_at": 1, "boot_id": ""}',
        '{"index": 1, "epoch": NaN, "expires_at": 1, "boot_id": ""}',
        '{"index": null, "epoch": 1, "expires_at": 1, "boot_id": ""}',
        '{"index": 1, "epoch": 1, "expires_at": Infinity, "boot_id": ""}',
        RECORD % "[1, 2, 3]",
        RECORD % "[1, 2, 3, -4]",
        RECORD % "[1, 2, 3, 18446744073709551616]",
        RECORD % '"1234"',
        RECORD % "7",
        RECORD % "[0, 0, 0, 0]" + "}",
        '{"index": 1, "epoch": 1, "expires_at": 1, "boot_id": "%s"}' % ("b" * 65),
        '{"index": 1, "epoch": 1%s, "expires_at": 1, "boot_id": ""}' % ("0" * 3900),
        "[" * 5000,
        "\x00" * 100,
    ],
)
def test_a_damaged_file_is_ignored(tmp_path: Path, text: str) -> None:
    StateDirectory(tmp_path).committed("paris", 7, 1.0)
    path(tmp_path).write_text(text)
    state = StateDirectory(tmp_path)
    record = state.record("paris")
    assert record.epoch == 0
    assert record.index == 1
    assert not state.is_current(record, now=0.0)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    StateDirectory(tmp_path).committed("paris", 7, 1.0)
    path(tmp_path).write_bytes(os.urandom(200))
    assert StateDirectory(tmp_path).record("paris").epoch == 0


def test_two_files_with_one_index_do_not_share_it(tmp_path: Path) -> None:
    StateDirectory(tmp_path).committed("paris", 7, 1.0)
    path(tmp_path, "rome").write_text(path(tmp_path).read_text())
    state = StateDirectory(tmp_path)
    assert state.record("paris").index != state.record("rome").index


@pytest.mark.parametrize("call", ["replace", "write"])
def test_a_full_disk_is_survived_and_said(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
) -> None:
    StateDirectory(tmp_path).committed("paris", 7, 1.0)
    state = StateDirectory(tmp_path)
    if call == "write":
        state.committed("paris", 7, 1.0)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, full)
    state.committed("paris", 8, 2.0)
    assert state.record("paris").epoch == 8
    assert "cannot remember epoch 8: No space left on device" in caplog.text
    monkeypatch.undo()
    assert StateDirectory(tmp_path).record("paris").epoch == 7
    state.committed("paris", 9, 3.0)
    assert StateDirectory(tmp_path).record("paris").epoch == 9


def test_records_of_all_lengths_overwrite_each_other(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    longest = (MAX_EPOCH, -1.2345678901234567e300)
    far = f"[{':'.join(['ffff'] * 8)}]:65535"
    fingerprint = format_fingerprint(generate_identity(1).public.fingerprint)
    state.bind("paris", fingerprint)
    for epoch, expires_at in ((1, 1.0), longest, (2, 2.0)):
        state.committed("paris", epoch, expires_at, far)
        state.count("paris", (2**64 - 1,) * 4)
        state.came_into_force("paris", epoch, expires_at)
        record = StateDirectory(tmp_path).record("paris")
        assert (record.epoch, record.expires_at) == (epoch, expires_at)
        assert record.identity == fingerprint
        assert path(tmp_path).stat().st_size == 448


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("203.0.113.7:51810", ("203.0.113.7", 51810)),
        ("[2001:db8::7]:4500", ("2001:db8::7", 4500)),
        ("", None),
        ("peer.example:51810", None),
        ("203.0.113.7:x", None),
        ("203.0.113.7", None),
        ("203.0.113.7:65536", None),
        ("203.0.113.7:-1", None),
    ],
)
def test_where_a_peer_was(
    tmp_path: Path, peer: str, expected: tuple[str, int] | None
) -> None:
    StateDirectory(tmp_path).committed("paris", 7, 1.0, peer)
    assert StateDirectory(tmp_path).record("paris").peer_address() == expected


def test_a_record_of_an_earlier_release_knows_no_peer(tmp_path: Path) -> None:
    StateDirectory(tmp_path).committed("paris", 7, 1.0)
    path(tmp_path).write_text(
        '{"index": 3, "epoch": 7, "expires_at": 1.0, "boot_id": ""}'
    )
    record = StateDirectory(tmp_path).record("paris")
    assert (record.index, record.epoch, record.peer_address()) == (3, 7, None)


def test_a_file_of_any_length_is_replaced_by_the_first_write(tmp_path: Path) -> None:
    StateDirectory(tmp_path).committed("paris", 7, 1.0)
    path(tmp_path).write_text(path(tmp_path).read_text() + 1000 * " ")
    StateDirectory(tmp_path).committed("paris", 8, 2.0)
    assert path(tmp_path).stat().st_size == 448
    assert StateDirectory(tmp_path).record("paris").epoch == 8


def test_a_file_that_was_removed_or_linked_is_made_anew(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.committed("paris", 7, 1.0)
    path(tmp_path).unlink()
    (tmp_path / "elsewhere").write_text("")
    path(tmp_path).symlink_to(tmp_path / "elsewhere")
    state.committed("paris", 8, 2.0)  # said, and made anew by the next
    state.committed("paris", 9, 3.0)
    assert StateDirectory(tmp_path).record("paris").epoch == 9
    assert (tmp_path / "elsewhere").read_text() == ""


def test_writing_again_takes_one_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = StateDirectory(tmp_path)
    state.committed("paris", 7, 1.0)
    written: list[bytes] = []
    write = os.write

    def counting(descriptor: int, data: bytes) -> int:
        written.append(data)
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", counting)
    monkeypatch.setattr(os, "replace", None)
    state.committed("paris", 8, 2.0)
    assert [len(data) for data in written] == [448]


def test_a_crash_while_writing_leaves_the_old_one(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.committed("paris", 7, 1.0)
    path(tmp_path).with_suffix(".new").write_text('{"index": 1, "ep')
    again = StateDirectory(tmp_path)
    assert again.record("paris").epoch == 7
    again.committed("paris", 8, 2.0)
    assert StateDirectory(tmp_path).record("paris").epoch == 8


def test_a_state_directory_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GatewayError, match="state_dir") as caught:
        StateDirectory(tmp_path / "file")
    assert caught.value.hint


def test_files_are_not_for_others(tmp_path: Path) -> None:
    StateDirectory(tmp_path / "state").committed("paris", 7, 1.0)
    assert (tmp_path / "state" / "tunnels").stat().st_mode & 0o077 == 0
