"""A client whose own process has no descriptors left: that is not the KME's fault."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.errors import KeySourceError, SourceFault
from gateway.sources.base import KeyClient
from tests.unit.sources.conftest import MakeClient
from tests.unit.sources.hostile import HostileKME


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Have the lowest free descriptor be one too many."""
    lowest = os.dup(0)
    os.close(lowest)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def draw(client: KeyClient) -> int:
    return len((await client.get_keys(3)).keys)


@pytest.mark.parametrize("is_first", [True, False])
async def test_it_is_said_and_passes(
    kme: HostileKME, make: MakeClient, *, is_first: bool
) -> None:
    """At its first call, which reads certificates too, and at a later one."""
    client = make(kme)
    if not is_first:
        assert await draw(client) == 3
        await kme.stop()
        await kme.start()
    with no_descriptors(), pytest.raises(KeySourceError) as caught:
        await draw(client)
    assert "too many open files" in caught.value.message.lower()
    assert "firewall" not in caught.value.hint
    assert "certificate" not in caught.value.hint
    if not is_first:
        assert caught.value.fault is SourceFault.UNREACHABLE
        assert "this host has run out" in caught.value.message
    drawn = len(kme.calls("enc_keys"))
    if is_first:
        assert await draw(client) == 3
        assert len(kme.calls("enc_keys")) == drawn + 1
