"""Two ends whose ML-KEM comes from different libraries agree on every key."""

import pytest

from tests.unit.crypto.published import LIBOQS_MARKS
from tests.unit.handshake.pair import Pair


@pytest.mark.parametrize("suite_id", [1, 2])
@pytest.mark.parametrize(
    ("initiator", "responder"),
    [
        ("openssl", "openssl"),
        *(
            pytest.param(*pair, marks=LIBOQS_MARKS)
            for pair in (
                ("openssl", "liboqs"),
                ("liboqs", "openssl"),
                ("liboqs", "liboqs"),
            )
        ),
    ],
)
def test_a_mixed_pair(suite_id: int, initiator: str, responder: str) -> None:
    pair = Pair(
        suite_id, keys=2, psk=b"\5" * 32, provider=initiator, answers_by=responder
    )
    assert pair.paris.suite.kem.provider == initiator
    assert pair.london.suite.kem.provider == responder
    for _ in range(3):
        pair.handshake()
