"""The lane of the KEM provider that no package registry carries."""

import os
import sys

from lanes.command import PYTEST
from lanes.lane import BIN, ROOT, CannotRunError

SOURCE = "QGW_LIBOQS_SOURCE"
"""The variable that names a folder with liboqs' source, unpacked."""

BUILT = ROOT / ".cache" / "liboqs"

TESTS = (
    "tests/unit/crypto",
    "tests/unit/handshake/test_vectors.py",
    "tests/unit/handshake/test_providers.py",
)

NOT_TESTED = (
    "liboqs is not tested: Debian up to sid, PyPI and npm carry no shared liboqs 0.16 "
    f"(docs/testing.md); {SOURCE}=FOLDER scripts/test liboqs builds and tests one"
)

_REQUIRE = "from gateway.crypto.kem_liboqs import require_library; require_library()"


def is_at_hand() -> bool:
    """Whether a liboqs is installed that fits, so that no test of it is skipped."""
    sys.path.insert(0, str(ROOT))
    from gateway.crypto.suite import choose_provider  # noqa: PLC0415

    return choose_provider("auto") == "liboqs"


def liboqs() -> list[tuple[str, ...]]:
    """Vectors, handshakes and mixed pairs with ML-KEM from liboqs; builds it first.

    Raises:
        CannotRunError: There is neither a library nor the source of one.
    """
    source = os.environ.get(SOURCE, "")
    built = BUILT.is_dir() or bool(source)
    if not built and not is_at_hand():
        raise CannotRunError(NOT_TESTED)
    path = (f"OQS_INSTALL_PATH={BUILT}",) if built else ()
    return [
        *([(str(ROOT / "scripts/build-liboqs"), source)] if source else []),
        # Else the tests would be skipped, and nobody the wiser.
        ("env", *path, str(BIN / "python"), "-c", _REQUIRE),
        ("env", *path, *PYTEST, *TESTS),
    ]
