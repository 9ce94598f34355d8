"""What any pair of KMEs must do for two gateways: run over ours, and a vendor's."""

from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from gateway.config.model import LinkConfig
from gateway.errors import SourceFault
from gateway.sources.base import KeyClient
from gateway.sources.clients import make_client
from gateway.sources.diagnosis.findings import Grade, Step
from gateway.sources.diagnosis.trial import diagnose
from tests.unit.sources.leaks import fault_of


@dataclass(frozen=True, slots=True)
class Ends:
    """The link as each of its two ends has it.

    Attributes:
        ours: At one end.
        theirs: At the other.
    """

    ours: LinkConfig
    theirs: LinkConfig

    @property
    def mirrored(self) -> "Ends":
        """The other way round."""
        return Ends(self.theirs, self.ours)


async def keys_are_the_same_at_both_ends(ends: Ends, count: int) -> None:
    """Draw at one end, fetch at the other; then they are gone, and only they."""
    ours, theirs = make_client(ends.ours), make_client(ends.theirs)
    try:
        drawn = await ours.get_keys(count)
        assert 1 <= len(drawn.keys) <= count
        assert not drawn.refused
        ids = [key.key_id for key in drawn.keys]
        assert len(set(ids)) == len(ids)
        fetched = await _fetch_all(theirs, ids)
        assert fetched == {key.key_id: key.key.expose() for key in drawn.keys}
        assert len(set(fetched.values())) == len(fetched)
        again = await theirs.get_keys_with_ids(ids[:2])
        assert not again.keys
        assert set(again.missing) == set(ids[:2])
    finally:
        await ours.close()
        await theirs.close()


async def _fetch_all(client: KeyClient, wanted: list[UUID]) -> dict[UUID, bytes]:
    found: dict[UUID, bytes] = {}
    left = list(wanted)
    for _round in wanted:
        delivery = await client.get_keys_with_ids(left)
        assert not delivery.missing
        assert not delivery.refused
        found |= {key.key_id: key.key.expose() for key in delivery.keys}
        left = [key_id for key_id in wanted if key_id not in found]
        if not left:
            break
    return found


async def missing_keys_are_named(ends: Ends) -> None:
    """Among keys that are there, the one that is not is found out."""
    ours, theirs = make_client(ends.ours), make_client(ends.theirs)
    try:
        drawn = [key.key_id for key in (await ours.get_keys(2)).keys]
        lost = uuid4()
        delivery = await theirs.get_keys_with_ids([lost, *drawn])
        assert delivery.missing == (lost,)
        assert {key.key_id for key in delivery.keys} == set(drawn)
    finally:
        await ours.close()
        await theirs.close()


async def status_makes_sense(ends: Ends) -> None:
    """Each end tells how it stands."""
    for link in (ends.ours, ends.theirs):
        client = make_client(link)
        try:
            status = await client.get_status()
        finally:
            await client.close()
        assert status.key_size > 0
        assert status.max_key_per_request > 0


async def diagnosis_finds_nothing_wrong(ends: Ends) -> None:
    """Not even when it draws a key and fetches it at the other end."""
    found = [
        finding
        async for finding in diagnose(ends.ours, draw=True, peer_link=ends.theirs)
    ]
    assert [f for f in found if f.grade is Grade.FAILED] == []
    assert found[-1].step is Step.PEER


async def another_sae_is_refused(ends: Ends) -> None:
    """With the other end's certificate nothing is to be had at this end's KME."""
    ours, theirs = ends.ours.kme, ends.theirs.kme
    assert ours is not None
    assert theirs is not None
    disguised = replace(
        ours, certificate=theirs.certificate, private_key=theirs.private_key
    )
    client = make_client(replace(ends.ours, kme=disguised))
    try:
        assert await fault_of(client.get_keys(1)) in {
            SourceFault.UNAUTHORIZED,
            SourceFault.REJECTED,
            SourceFault.CREDENTIALS,
            SourceFault.UNREACHABLE,
        }
    finally:
        await client.close()
