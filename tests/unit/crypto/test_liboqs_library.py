"""Which liboqs is found, and what becomes of one that does not fit.

The libraries here are made on the spot: what an old liboqs has is its version, and not
the functions that came later. In the lane ``liboqs`` the real one is tested.
"""

import importlib.util
import subprocess
from pathlib import Path

import pytest

from gateway.crypto import liboqs_library
from gateway.crypto.liboqs_library import find_library, wanted_version
from gateway.crypto.suite import choose_provider, load_suite, passed_over
from gateway.errors import CryptoError

OLD = """
void OQS_init(void) {}
const char *OQS_version(void) { return "0.12.0"; }
void *OQS_KEM_new(const char *name) { (void)name; return 0; }
"""

NAKED = OLD.replace("0.12.0", "{wanted}.0")

STRANGE = "int nothing_of_the_kind(void) { return 1; }"


def build(folder: Path, source: str) -> Path:
    """Make a shared library; tcc is there wherever tests are."""
    folder.mkdir(parents=True, exist_ok=True)
    code, library = folder / "code.c", folder / "liboqs.so"
    code.write_text(source.replace("{wanted}", wanted_version()))
    command = ("tcc", "-shared", "-o", str(library), str(code))
    subprocess.run(command, check=True)  # noqa: S603  # ours
    return library


@pytest.fixture(autouse=True)
def only_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look into this test's folder, whatever this machine has installed."""
    monkeypatch.setenv("OQS_INSTALL_PATH", str(tmp_path))
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)


def test_none_is_openssl_and_nothing_to_say() -> None:
    assert find_library() is None
    assert choose_provider("auto") == "openssl"
    assert passed_over() == ""
    with pytest.raises(CryptoError) as caught:
        choose_provider("liboqs")
    assert "not found" in caught.value.message
    assert "README" in caught.value.hint


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (OLD, "is version 0.12.0, {wanted} is needed"),
        (NAKED, "lacks OQS_KEM_keypair_derand"),
        (STRANGE, "is no liboqs, {wanted} is needed"),
    ],
)
def test_one_that_does_not_fit(tmp_path: Path, source: str, why: str) -> None:
    library = build(tmp_path / "lib", source)
    told = f"{library} {why.format(wanted=wanted_version())}"
    assert choose_provider("auto") == "openssl"
    assert passed_over() == told
    for refuse in (lambda: choose_provider("liboqs"), lambda: load_suite(1, "liboqs")):
        with pytest.raises(CryptoError) as caught:
            refuse()
        assert told in caught.value.message
        assert "kem_provider" in caught.value.hint
    assert load_suite(1, "auto").kem.provider == "openssl"


def test_the_linkers_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the binding does: what the linker knows hides what is in the folder."""
    mine = build(tmp_path / "lib", NAKED)
    linked = build(tmp_path / "linked", OLD)
    # Another folder, so that nothing was found there before.
    monkeypatch.setenv("OQS_INSTALL_PATH", f"{tmp_path}/.")
    monkeypatch.setattr(
        "ctypes.util.find_library",
        lambda name: str(linked) if name == "oqs" else None,
    )
    monkeypatch.setattr(liboqs_library, "_find", liboqs_library._find.__wrapped__)
    found = find_library()
    assert found is not None
    assert found.path == str(linked)
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    again = find_library()
    assert again is not None
    assert again.path == f"{tmp_path}/lib/{mine.name}"


def test_the_order_is_the_bindings() -> None:
    """Its own text says so: if it changes, ours must."""
    spec = importlib.util.find_spec("oqs")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    text = Path(spec.submodule_search_locations[0], "oqs.py").read_text()
    own = text.index("if additional_searching_paths:")
    linker = text.index("ctu.find_library(name)")
    other = text.index('ctu.find_library("lib" + name)')
    assert own < linker < other < text.index("dll.LoadLibrary(str(path))")
    assert text.count("paths.insert(0, Path(found_lib))") == 2


def test_a_library_that_cannot_be_loaded_is_passed(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "liboqs.so").write_bytes(b"no library")
    fit = build(tmp_path / "lib64", OLD)
    found = find_library()
    assert found is not None
    assert found.path == str(fit)
