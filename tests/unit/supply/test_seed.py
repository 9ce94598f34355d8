import base64
import os
import stat
from pathlib import Path

import pytest

from gateway.errors import KeyStoreError
from gateway.sources.simulated.seed import create_seed, load_seed

LINE = b"qgw-sim-seed " + base64.b64encode(bytes(range(32))) + b"\n"


def test_a_new_seed_is_private_random_and_loads(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        create_seed(tmp_path / "a")
    finally:
        os.umask(umask)
    create_seed(tmp_path / "b")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert load_seed(tmp_path / "a") != load_seed(tmp_path / "b")
    with pytest.raises(KeyStoreError, match="there already"):
        create_seed(tmp_path / "a")


@pytest.mark.parametrize(
    "content", [b"", LINE[13:], LINE[:-4], LINE + LINE, b"qgw-sim-seed \xff\n"]
)
def test_refuses_other_content_without_showing_it(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "seed"
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(KeyStoreError, match="no seed") as caught:
        load_seed(path)
    assert caught.value.__context__ is None
    path.write_bytes(LINE)
    assert load_seed(path).expose() == bytes(range(32))
    path.chmod(0o644)
    with pytest.raises(KeyStoreError, match="open to others"):
        load_seed(path)
