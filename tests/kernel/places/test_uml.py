"""User-mode Linux starts on processors whose register sets it underestimates."""

import ctypes
import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).resolve().parents[3]
IN_UML = ROOT / "scripts/in-uml"
SOURCE = ROOT / "tools/machines/uml_ptrace.c"

ATTACH, DETACH = 16, 17
GETREGSET, SETREGSET = 0x4204, 0x4205
NT_X86_XSTATE = 0x202

SHORT_SIZE = 576
"""Bytes of the legacy area and the header, with which every XSAVE area begins."""

XMM = slice(160, 416)
YMM = slice(576, 832)
"""The halves of the vector registers that a short set has, and has not."""

COMPONENTS = 512
"""Where XSTATE_BV begins: which components are not all zero (Intel SDM 1, 13.4.2)."""

X87_SSE_AVX = 0b111

NO_SUCH_LIBRARY = "/* As if there were no remedy: a library without ptrace(). */\n"

COUNTING = """
import math, os
for _ in range(4):
    if not os.fork():
        total = 0.0
        for number in range(300_000):
            total += math.sqrt(number) * 1.0000001
        os.write(1, (total.hex() + chr(10)).encode())
        os._exit(0)
for _ in range(4):
    os.wait()
"""
"""Four processes that all keep numbers in registers while they take turns."""


class Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Registers:
    """The extended registers of a stopped child, by one ptrace() or another."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def call(self, library: ctypes.CDLL, request: int, data: bytearray) -> int:
        """Read or set the registers; return the size that the kernel gave."""
        held = (ctypes.c_char * len(data)).from_buffer(data)
        vector = Vector(ctypes.addressof(held), len(data))
        ptrace = library.ptrace
        ptrace.restype = ctypes.c_long
        ptrace.argtypes = (
            ctypes.c_long,
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.c_void_p,
        )
        if ptrace(request, self.pid, NT_X86_XSTATE, ctypes.byref(vector)):
            raise OSError(ctypes.get_errno(), "ptrace")
        return int(vector.length)

    def read(self, library: ctypes.CDLL) -> bytearray:
        whole = bytearray(1 << 16)
        return whole[: self.call(library, GETREGSET, whole)]


@pytest.fixture
def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def compile_library(source: Path, target: Path, compiler: str = "tcc") -> Path:
    strict = ("-Wall", "-Wextra", "-Werror")
    subprocess.run(  # noqa: S603  # a compiler
        (compiler, *strict, "-shared", "-fPIC", "-o", target, source, "-ldl"),
        check=True,
    )
    return target


@pytest.fixture(
    params=["tcc", pytest.param("gcc", marks=pytest.mark.may_skip("tcc is enough"))]
)
def library(request: pytest.FixtureRequest, tmp_path: Path) -> ctypes.CDLL:
    if not shutil.which(request.param):
        pytest.skip(f"no {request.param}: run scripts/setup test")
    built = compile_library(SOURCE, tmp_path / "ptrace.so", request.param)
    return ctypes.CDLL(str(built), use_errno=True)


@pytest.fixture
def child(libc: ctypes.CDLL) -> Iterator[Registers]:
    with subprocess.Popen(("/bin/sleep", "60")) as process:
        try:
            assert libc.ptrace(ATTACH, process.pid, 0, 0) == 0
            _, status = os.waitpid(process.pid, 0)
            assert os.WIFSTOPPED(status)
            yield Registers(process.pid)
            assert libc.ptrace(DETACH, process.pid, 0, 0) == 0
        finally:
            process.send_signal(signal.SIGKILL)


def test_a_short_set_is_laid_over_the_whole_one(
    child: Registers, libc: ctypes.CDLL, library: ctypes.CDLL
) -> None:
    before = child.read(libc)
    before[COMPONENTS] |= X87_SSE_AVX
    before[XMM] = bytes(range(256))
    before[YMM] = bytes(reversed(range(256)))
    child.call(libc, SETREGSET, bytearray(before))
    short = before[:SHORT_SIZE]
    short[XMM] = b"new." * 64
    # What ends User-mode Linux: this kernel, too, takes the whole set or nothing.
    with pytest.raises(OSError, match="ptrace") as refused:
        child.call(libc, SETREGSET, bytearray(short))
    assert refused.value.errno == errno.EFAULT
    assert child.read(libc)[XMM] == before[XMM]
    child.call(library, SETREGSET, bytearray(short))
    after = child.read(libc)
    assert after[XMM] == short[XMM]
    assert after[SHORT_SIZE:] == before[SHORT_SIZE:]


def test_what_is_wrong_otherwise_stays_refused(
    child: Registers, libc: ctypes.CDLL, library: ctypes.CDLL
) -> None:
    whole = child.read(libc)
    whole[COMPONENTS] = 0xFF
    whole[COMPONENTS + 7] = 0x7F  # components that no processor has
    with pytest.raises(OSError, match="ptrace") as refused:
        child.call(library, SETREGSET, whole)
    assert refused.value.errno == errno.EINVAL
    with pytest.raises(OSError, match="ptrace") as refused:
        Registers(os.getpid()).call(library, SETREGSET, bytearray(SHORT_SIZE))
    assert refused.value.errno == errno.ESRCH


def test_a_longer_set_is_cut_as_without_it(
    child: Registers, libc: ctypes.CDLL, library: ctypes.CDLL
) -> None:
    longer = child.read(libc) + bytes(4096)
    child.call(library, SETREGSET, longer)


def in_uml(
    clone: Path, *command: str, preload: Path | None = None
) -> tuple[int, str, str]:
    """Run a command in User-mode Linux, on what seems to be another processor."""
    simulated = {"LD_PRELOAD": str(preload)} if preload else {}
    done = subprocess.run(  # noqa: S603  # a script of ours
        (clone / "scripts/in-uml", "--", *command),
        env={**os.environ, **simulated},
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def amx(tmp_path: Path) -> Path:
    """Simulate a host with AMX: its ptrace(), preloaded."""
    source = Path(__file__).with_name("long_xstate.c")
    return compile_library(source, tmp_path / "amx.so")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of its own, with its own cache."""
    clone = tmp_path / "clone"
    for path in (IN_UML, SOURCE):
        copy = clone / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return clone


def test_simulated_amx_without_the_remedy_is_the_known_failure(
    clone: Path, amx: Path
) -> None:
    (clone / "tools/machines/uml_ptrace.c").write_text(NO_SUCH_LIBRARY)
    status, _, said = in_uml(clone, "true", preload=amx)
    assert status == 125
    assert "ptrace set fp regs failed, errno = 14" in said
    assert "Kernel panic - not syncing: Attempted to kill init!" in said


def test_simulated_amx_without_a_compiler_names_what_to_install(
    clone: Path, amx: Path
) -> None:
    (clone / "tools/machines/uml_ptrace.c").write_text("#error as if there were none\n")
    status, _, said = in_uml(clone, "true", preload=amx)
    assert status == 125
    assert "apt-get install tcc libc6-dev" in said


def test_simulated_amx_with_the_remedy_runs_the_command(clone: Path, amx: Path) -> None:
    program = (str(ROOT / ".venv/bin/python"), "-c", COUNTING)
    status, printed, said = in_uml(clone, *program, preload=amx)
    assert (status, said) == (0, "")
    here = subprocess.run(  # noqa: S603  # the same here
        program, check=True, capture_output=True, text=True
    ).stdout
    assert printed == here
    assert len(set(printed.split())) == 1
    assert len(printed.split()) == 4
    # A command that fails is not taken for a kernel that does.
    assert in_uml(clone, "sh", "-c", "exit 7", preload=amx)[0] == 7


def test_the_remedy_is_compiled_only_where_it_is_needed(clone: Path) -> None:
    status, _, said = in_uml(clone, "true")
    assert (status, said) == (0, "")
    has_amx = " amx_tile" in Path("/proc/cpuinfo").read_text()
    assert (clone / ".cache/uml/ptrace.so").exists() == has_amx
