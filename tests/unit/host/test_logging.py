import contextlib
import io
import logging
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config.model import LogFormat
from gateway.host import journal
from gateway.host.journal import MAX_FIELD, JournalHandler, encode_entry
from gateway.host.logging import FIELDS, configure_logging
from gateway.secret import Secret

logger = logging.getLogger("gateway.test")
KEY = bytes(range(32))


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("gateway")
    saved = root.handlers[:], root.level, ours.level
    root.handlers[:] = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = saved[0]
    root.setLevel(saved[1])
    ours.setLevel(saved[2])


@pytest.fixture
def journald(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    path = str(tmp_path / "journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.settimeout(2)
        monkeypatch.setattr(JournalHandler.__init__, "__defaults__", (path,))
        yield listener


def read_entry(datagram: bytes) -> dict[str, str]:
    """Read the native protocol as journald does, so that the writer cannot cheat."""
    entry = {}
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (size,) = struct.unpack("<Q", rest[:8])
            value, datagram = rest[8 : 8 + size], rest[8 + size :]
            assert datagram.startswith(b"\n")
            datagram = datagram[1:]
        else:
            datagram = rest
        entry[name.decode()] = value.decode()
    return entry


def console(level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    configure_logging(LogFormat.CONSOLE, level, stream=stream)
    return stream


def test_the_console_shows_what_a_line_is_about() -> None:
    stream = console()
    logger.info("committed", extra={"tunnel": "paris", "epoch": 7})
    assert stream.getvalue().endswith(" INFO tunnel=paris epoch=7: committed\n")


def test_the_journal_gets_fields(journald: socket.socket) -> None:
    configure_logging(LogFormat.JOURNAL, "info")
    logger.warning("epoch %d late", 7, extra={"tunnel": "paris", "event": "late"})
    entry = read_entry(journald.recv(1 << 16))
    assert entry["MESSAGE"] == "tunnel paris: epoch 7 late"
    assert entry["PRIORITY"] == "4"
    assert entry["SYSLOG_IDENTIFIER"] == "qgwd"
    assert entry["QGW_TUNNEL"] == "paris"
    assert entry["QGW_EVENT"] == "late"
    assert entry["CODE_FUNC"] == "test_the_journal_gets_fields"
    assert "QGW_EPOCH" not in entry


@pytest.mark.parametrize(
    ("text", "extra", "message"),
    [
        ("up", {"tunnel": "paris"}, "tunnel paris: up"),
        (
            "tunnel paris has this peer",
            {"tunnel": "paris"},
            "tunnel paris has this peer",
        ),
        (
            "tunnel paris-2 has this peer",
            {"tunnel": "paris"},
            "tunnel paris: tunnel paris-2 has this peer",
        ),
        ("stock is low", {"link": "alpha"}, "link alpha: stock is low"),
        ("link alpha: renewed", {"link": "alpha"}, "link alpha: renewed"),
        ("used up", {"tunnel": "paris", "link": "alpha"}, "tunnel paris: used up"),
        ("ready", {}, "ready"),
    ],
)
def test_the_text_names_its_tunnel_or_link_once(
    journald: socket.socket, text: str, extra: dict[str, str], message: str
) -> None:
    configure_logging(LogFormat.JOURNAL, "info")
    logger.info("%s", text, extra=extra)
    assert read_entry(journald.recv(1 << 16))["MESSAGE"] == message


@pytest.mark.parametrize(
    ("level", "priority"),
    [
        ("debug", "7"),
        ("info", "6"),
        ("warning", "4"),
        ("error", "3"),
        ("critical", "2"),
    ],
)
def test_levels_become_priorities(
    journald: socket.socket, level: str, priority: str
) -> None:
    configure_logging(LogFormat.JOURNAL, "debug")
    logger.log(logging.getLevelNamesMapping()[level.upper()], "x")
    assert read_entry(journald.recv(1 << 16))["PRIORITY"] == priority


def test_a_newline_cannot_forge_a_field(journald: socket.socket) -> None:
    configure_logging(LogFormat.JOURNAL, "info")
    logger.info("peer says %s", "x\nPRIORITY=0\nQGW_TUNNEL=other")
    entry = read_entry(journald.recv(1 << 16))
    assert entry["PRIORITY"] == "6"
    assert "QGW_TUNNEL" not in entry
    assert entry["MESSAGE"].endswith("QGW_TUNNEL=other")


def test_a_traceback_goes_with_its_line(journald: socket.socket) -> None:
    configure_logging(LogFormat.JOURNAL, "info")
    try:
        int("why")
    except ValueError:
        logger.exception("broken")
    message = read_entry(journald.recv(1 << 16))["MESSAGE"]
    assert message.startswith("broken\nTraceback")
    assert "ValueError: invalid literal" in message


def test_a_field_is_bounded() -> None:
    assert read_entry(encode_entry({"MESSAGE": "x" * 99_999})) == {
        "MESSAGE": "x" * MAX_FIELD
    }


def test_a_journal_that_does_not_read_loses_lines_and_says_how_many(
    journald: socket.socket,
) -> None:
    configure_logging(LogFormat.JOURNAL, "info")
    for number in range(5000):
        logger.info("line %d", number)
    journald.settimeout(0)
    with contextlib.suppress(BlockingIOError):
        while journald.recv(1 << 16):
            pass
    logger.info("after")
    after = read_entry(journald.recv(1 << 16))
    lost = read_entry(journald.recv(1 << 16))
    assert after["MESSAGE"] == "after"
    assert lost["MESSAGE"].endswith(
        "log lines were lost: the journal did not take them"
    )
    assert 0 < int(lost["MESSAGE"].split()[0]) < 5000


def test_a_journal_that_is_not_there_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = JournalHandler(FIELDS, str(tmp_path / "absent"))
    handler.handle(logging.makeLogRecord({"msg": "x"}))
    handler.close()
    assert journal.JOURNAL_SOCKET == "/run/systemd/journal/socket"


@pytest.mark.parametrize(
    "args",
    [
        (Secret(KEY),),
        (KEY,),
        (bytearray(KEY),),
        ([{"k": (KEY,)}],),
        ({"k": Secret(KEY)},),
    ],
)
def test_a_line_with_key_material_is_withheld(args: tuple[object, ...]) -> None:
    stream = console()
    logger.info("key %s", *args)
    text = stream.getvalue()
    assert "ERROR: a log line was withheld" in text
    assert KEY.hex() not in text
    assert repr(KEY)[2:10] not in text
    assert "SECRET" not in text


def test_a_field_with_key_material_is_withheld() -> None:
    stream = console()
    logger.info("x", extra={"peer": KEY})
    assert stream.getvalue().endswith(
        "ERROR: a log line was withheld: it was given key material or bytes\n"
    )


def test_control_characters_do_not_reach_a_terminal() -> None:
    stream = console()
    logger.info("peer %s", "\x1b[2J\r\nforged", extra={"peer": "\x1b]0;x\x07"})
    text = stream.getvalue()
    assert "\x1b" not in text
    assert "\r" not in text
    assert "\n  forged" in text


def test_levels_are_ours_and_libraries_only_warn() -> None:
    stream = console("debug")
    logger.debug("ours")
    logging.getLogger("asyncio").info("theirs")
    logging.getLogger("asyncio").warning("theirs, loud")
    assert "ours" in stream.getvalue()
    assert "INFO: theirs" not in stream.getvalue()
    assert "theirs, loud" in stream.getvalue()


def test_configuring_again_replaces() -> None:
    first, second = console(), console()
    logger.info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


def test_auto_takes_the_journal_only_when_stderr_goes_there(tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("w") as stream:
        found = os.fstat(stream.fileno())
        for value, kind in (
            (f"{found.st_dev}:{found.st_ino}", JournalHandler),
            (f"{found.st_dev}:{found.st_ino + 1}", logging.StreamHandler),
            ("", logging.StreamHandler),
            ("nonsense", logging.StreamHandler),
        ):
            configure_logging(
                LogFormat.AUTO, "info", environ={"JOURNAL_STREAM": value}, stream=stream
            )
            (handler,) = logging.getLogger().handlers
            assert isinstance(handler, kind)
