"""ETSI GS QKD 014 V1.1.1, clause by clause, over real TLS."""

import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from doubles.kme_pair import KMEPair

from gateway.kme.pki import LaboratoryPKI
from gateway.kme.refusals import BAD_REQUEST, MANDATORY_UNSUPPORTED
from gateway.kme.settings import SAESettings
from tests.unit.kme.conftest import Call

UNKNOWN = "00000000-0000-4000-8000-000000000000"
NOT_FOUND = "one or more keys specified are not found on KME"


async def test_status_says_the_real_limits(pair: KMEPair, sae: Call) -> None:
    """6.1: every member, of the right type."""
    answer = await sae("gw-a", pair.alice.url).get("gw-b", "status")
    assert answer.status == 200
    assert answer.document == {
        "source_KME_ID": "kme-alice",
        "target_KME_ID": "kme-bob",
        "master_SAE_ID": "gw-a",
        "slave_SAE_ID": "gw-b",
        "key_size": 256,
        "stored_key_count": 100,
        "max_key_count": 100_000,
        "max_key_per_request": 32,
        "max_key_size": 1024,
        "min_key_size": 64,
        "max_SAE_ID_count": 0,
        "status_extension": {"simulated": True},
    }


async def test_the_count_falls_as_keys_are_drawn(pair: KMEPair, sae: Call) -> None:
    alice = sae("gw-a", pair.alice.url)
    assert len((await alice.draw("gw-b", 30)).keys) == 30
    status = await alice.get("gw-b", "status")
    assert status.document["stored_key_count"] == 70
    bob = await sae("gw-b", pair.bob.url).get("gw-a", "status")
    assert bob.document["stored_key_count"] == 100  # the other half of the pool


async def test_both_ends_get_the_same_key_by_get(pair: KMEPair, sae: Call) -> None:
    """5.3 and 5.4 in their simple forms."""
    drawn = (await sae("gw-a", pair.alice.url).get("gw-b", "enc_keys")).keys
    ((key_id, key),) = drawn.items()
    assert len(key) == 32
    bob = sae("gw-b", pair.bob.url)
    assert (await bob.get("gw-a", "dec_keys", f"?key_ID={key_id}")).keys == drawn


async def test_both_ends_get_the_same_keys_by_post(pair: KMEPair, sae: Call) -> None:
    """And in both directions: each end has masters and slaves."""
    alice, bob = sae("gw-a", pair.alice.url), sae("gw-b", pair.bob.url)
    ours = (await alice.draw("gw-b", 32)).keys
    theirs = (await bob.draw("gw-a", 32)).keys
    assert len(ours | theirs) == 64
    assert len({*ours.values(), *theirs.values()}) == 64
    assert (await bob.fetch("gw-a", *ours)).keys == ours
    assert (await alice.fetch("gw-b", *theirs)).keys == theirs


async def test_key_ids_are_uuids_in_any_spelling(pair: KMEPair, sae: Call) -> None:
    drawn = (await sae("gw-a", pair.alice.url).draw("gw-b", 2)).keys
    for key_id in drawn:
        assert str(uuid.UUID(key_id)) == key_id
    upper = [key_id.upper() for key_id in drawn]
    assert (await sae("gw-b", pair.bob.url).fetch("gw-a", *upper)).keys == drawn


async def test_sizes(pair: KMEPair, sae: Call) -> None:
    alice, bob = sae("gw-a", pair.alice.url), sae("gw-b", pair.bob.url)
    for size in (64, 72, 128, 256, 264, 512, 1024):
        query = f"?number=3&size={size}"
        drawn = (await alice.get("gw-b", "enc_keys", query)).keys
        assert {len(key) * 8 for key in drawn.values()} == {size}
        assert len(set(drawn.values())) == 3
        last, *others = drawn
        assert (await bob.fetch("gw-a", *others)).keys == {
            each: drawn[each] for each in others
        }
        assert (await bob.fetch("gw-a", last)).keys == {last: drawn[last]}


async def test_long_keys_cost_as_many_bits(pair: KMEPair, sae: Call) -> None:
    alice = sae("gw-a", pair.alice.url)
    await alice.draw("gw-b", 10, 1024)
    assert (await alice.get("gw-b", "status")).document["stored_key_count"] == 60
    refused = await alice.draw("gw-b", 16, 1024)
    assert (refused.status, refused.message) == (
        503,
        "not enough keys: 60 stored of 256 bits",
    )
    assert refused.headers["Retry-After"] == "1"
    assert len((await alice.draw("gw-b", 15, 1024)).keys) == 15


async def test_a_key_goes_out_once_on_each_side(pair: KMEPair, sae: Call) -> None:
    alice, bob = sae("gw-a", pair.alice.url), sae("gw-b", pair.bob.url)
    seen: set[str] = set()
    for _ in range(4):
        drawn = set((await alice.draw("gw-b", 25)).keys)
        assert not drawn & seen
        seen |= drawn
    assert (await alice.draw("gw-b")).status == 503
    first, second, third, *_ = seen
    assert set((await bob.fetch("gw-a", first, second)).keys) == {first, second}
    for again in ((first,), (third, second), (third, UNKNOWN)):
        refused = await bob.fetch("gw-a", *again)
        assert (refused.status, refused.document) == (400, {"message": NOT_FOUND})
    # What was refused with others is still there.
    assert set((await bob.fetch("gw-a", third)).keys) == {third}


BAD_KEY_REQUESTS = [
    (b'{"size": 257}', "size shall be a multiple of 8"),
    (b'{"size": 0}', None),
    (b'{"size": -8}', None),
    (b'{"size": 56}', None),
    (b'{"size": 1032}', None),
    (b'{"size": "256"}', None),
    (b'{"size": 256.0}', None),
    (b'{"size": true}', None),
    (b'{"size": 1e400}', None),
    (b'{"size": NaN}', None),
    (b'{"size": null}', None),
    (b'{"number": 0}', None),
    (b'{"number": -1}', None),
    (b'{"number": 33}', None),
    (b'{"number": 100000000000000000000000}', None),
    (b'{"number": ' + b"9" * 5000 + b"}", None),
    (b'{"number": [1]}', None),
    (b'{"number": 1, "number": 2}', None),
    (b'{"additional_slave_SAE_IDs": ["gw-c"]}', None),
    (b'{"additional_slave_SAE_IDs": "gw-c"}', None),
    (
        b'{"extension_mandatory": [{"abc_route_type": "direct"}]}',
        "not all extension_mandatory parameters are supported",
    ),
    (b'{"extension_mandatory": {"abc": 1}}', None),
    (b'{"extension_mandatory": [1]}', None),
    (b'{"extension_mandatory": [{}]}', None),
    (b'{"extension_optional": "abc"}', None),
    (b"[]", None),
    (b"null", None),
    (b"number=1", None),
    (b'{"number": 1', None),
    (b'\xff{"number": 1}', None),
    (b'{"a":' * 40 + b"1" + b"}" * 40, None),
    (b"[" * 100_000, None),
]


async def test_a_post_without_a_body_asks_for_one_key(pair: KMEPair, sae: Call) -> None:
    """All members of 6.2 are optional, and so is the object that holds them."""
    alice = sae("gw-a", pair.alice.url)
    answer = await alice.call("POST", "/api/v1/keys/gw-b/enc_keys")
    assert [len(key) for key in answer.keys.values()] == [32]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?extension_mandatory=x", MANDATORY_UNSUPPORTED),
        ("?number=1&extension_mandatory=", MANDATORY_UNSUPPORTED),
        ("?additional_slave_SAE_IDs=gw-c", BAD_REQUEST),
    ],
)
async def test_what_only_post_can_ask_for_costs_no_key(
    pair: KMEPair, sae: Call, query: str, message: str
) -> None:
    alice = sae("gw-a", pair.alice.url)
    answer = await alice.get("gw-b", "enc_keys", query)
    assert (answer.status, answer.message) == (400, message)
    assert (await alice.get("gw-b", "status")).document["stored_key_count"] == 100


async def test_bad_key_requests(pair: KMEPair, sae: Call) -> None:
    """5.3, 6.2 and 6.5: 400 with an Error, and no key has left the pool."""
    alice = sae("gw-a", pair.alice.url)
    for body, message in BAD_KEY_REQUESTS:
        answer = await alice.post("gw-b", "enc_keys", body)
        assert answer.status == 400, body
        assert answer.message == (message or "Bad request format"), body
        assert set(answer.document) <= {"message", "details"}
        details = answer.document.get("details", [])
        assert isinstance(details, list)
        assert all(isinstance(detail, dict) for detail in details)
    assert (await alice.get("gw-b", "status")).document["stored_key_count"] == 100


async def test_unsupported_mandatory_extensions_are_named(
    pair: KMEPair, sae: Call
) -> None:
    body = {"extension_mandatory": [{"abc_route_type": "direct"}, {"abc_age": {}}]}
    answer = await sae("gw-a", pair.alice.url).post("gw-b", "enc_keys", body)
    assert answer.document["details"] == [
        {"extension_mandatory_unsupported": "abc_route_type"},
        {"extension_mandatory_unsupported": "abc_age"},
    ]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"vendor": {"any": ["thing"]}, "number": 1},
        {"extension_optional": [{"abc_max_age": 30000}]},
        {"extension_mandatory": [], "additional_slave_SAE_IDs": []},
    ],
)
async def test_optional_and_unknown_members_are_ignored(
    pair: KMEPair, sae: Call, document: object
) -> None:
    answer = await sae("gw-a", pair.alice.url).post("gw-b", "enc_keys", document)
    assert len(answer.keys) == 1


BAD_KEY_QUERIES = [
    "?number=x",
    "?number=",
    "?number=1.0",
    "?number=+1",
    "?number=-1",
    "?number=%D9%A1",  # an Arabic digit
    "?number=0",
    "?number=33",
    "?number=9999999999",
    "?number=1&number=2",
    "?size=1e2",
    "?size=2048",
]


async def test_bad_key_queries(pair: KMEPair, sae: Call) -> None:
    alice = sae("gw-a", pair.alice.url)
    for query in BAD_KEY_QUERIES:
        answer = await alice.get("gw-b", "enc_keys", query)
        assert (answer.status, answer.message) == (400, "Bad request format"), query
    answer = await alice.get("gw-b", "enc_keys", "?size=255")
    assert answer.message == "size shall be a multiple of 8"
    assert (await alice.get("gw-b", "status")).document["stored_key_count"] == 100


BAD_KEY_IDS: list[object] = [
    {},
    {"key_IDs": []},
    {"key_IDs": {}},
    {"key_IDs": [UNKNOWN]},
    {"key_IDs": [{}]},
    {"key_IDs": [{"key_ID": 7}]},
    {"key_IDs": [{"key_ID": "no uuid"}]},
    {"key_IDs": [{"key_ID": "{" + UNKNOWN + "}"}]},
    {"key_IDs": [{"key_ID": UNKNOWN.replace("-", "")}]},
    {"key_IDs": [{"key_ID": UNKNOWN}] * 2},
    {"key_IDs": [{"key_ID": str(uuid.UUID(int=n))} for n in range(33)]},
]


async def test_bad_key_ids(pair: KMEPair, sae: Call) -> None:
    bob = sae("gw-b", pair.bob.url)
    for body in BAD_KEY_IDS:
        answer = await bob.post("gw-a", "dec_keys", body)
        assert (answer.status, answer.message) == (400, "Bad request format"), body
    for query in ("", "?key_ID=", "?key_ID=x", "?key_id=" + UNKNOWN):
        answer = await bob.get("gw-a", "dec_keys", query)
        assert (answer.status, answer.message) == (400, "Bad request format"), query


async def test_key_id_extensions_are_ignored(pair: KMEPair, sae: Call) -> None:
    drawn = (await sae("gw-a", pair.alice.url).draw("gw-b")).keys
    (key_id,) = drawn
    entry = {"key_ID": key_id, "key_ID_extension": {"a": 1}}
    body = {"key_IDs": [entry], "key_IDs_extension": {}}
    answer = await sae("gw-b", pair.bob.url).post("gw-a", "dec_keys", body)
    assert answer.keys == drawn


async def test_sae_ids_are_url_encoded(
    tmp_path: Path, pki: LaboratoryPKI, sae: Call
) -> None:
    """5.2: an ID may hold what a URL may not, also a slash."""
    office = "bank/büro 1"
    pair = KMEPair(tmp_path / "pair", pki=pki, bob_saes=[office])
    async with pair:
        await pair.make_keys(4)
        encoded = "bank%2Fb%C3%BCro%201"
        alice = sae("gw-a", pair.alice.url)
        status = (await alice.get(encoded, "status")).document
        assert status["slave_SAE_ID"] == office
        drawn = (await alice.draw(encoded)).keys
        assert (await sae(office, pair.bob.url).fetch("gw-a", *drawn)).keys == drawn
        # Once decoded is enough.
        assert (await alice.get("bank%252Fb%C3%BCro%201", "status")).status == 401


async def test_only_who_was_named_gets_the_keys(
    tmp_path: Path, pki: LaboratoryPKI, sae: Call
) -> None:
    """5.4: 401 without body for an SAE of the same site that was not named."""
    pair = KMEPair(tmp_path / "pair", pki=pki, bob_saes=["gw-b", "gw-c"])
    async with pair:
        await pair.make_keys(10)
        alice = sae("gw-a", pair.alice.url)
        for_b = (await alice.draw("gw-b", 2)).keys
        for_c = (await alice.draw("gw-c", 2)).keys
        bob, carol = sae("gw-b", pair.bob.url), sae("gw-c", pair.bob.url)
        for asked in (for_b, {**for_c, **dict([next(iter(for_b.items()))])}):
            refused = await carol.fetch("gw-a", *asked)
            assert (refused.status, refused.body) == (401, b"")
        # Nor has the master itself a second time.
        refused = await alice.fetch("gw-b", *for_b)
        assert (refused.status, refused.body) == (401, b"")
        assert (await bob.fetch("gw-a", *for_b)).keys == for_b
        assert (await carol.fetch("gw-a", *for_c)).keys == for_c


async def test_pairs_decide_who_may_ask_for_what(
    tmp_path: Path, pki: LaboratoryPKI, sae: Call
) -> None:
    pair = KMEPair(tmp_path / "pair", pki=pki, alice_saes=["gw-a", "gw-c"])
    async with pair:
        await pair.make_keys(10)
        saes = {
            "gw-a": SAESettings(slaves=frozenset({"gw-b"})),
            "gw-c": SAESettings(masters=frozenset({"gw-b"})),
        }
        assert await pair.alice.reload(replace(pair.alice.settings, saes=saes)) == []
        a, c = sae("gw-a", pair.alice.url), sae("gw-c", pair.alice.url)
        assert (await a.get("gw-b", "status")).document["stored_key_count"] == 5
        assert (await c.get("gw-b", "status")).document["stored_key_count"] == 0
        assert len((await a.draw("gw-b")).keys) == 1
        for refused in (
            await c.draw("gw-b"),
            await a.fetch("gw-b", UNKNOWN),
            await a.get("gw-a", "status"),
            await a.draw("nobody"),
        ):
            assert (refused.status, refused.body) == (401, b"")
        # The other end has its own word: it may not fetch what this end draws.
        drawn = (await sae("gw-b", pair.bob.url).draw("gw-a")).status
        assert drawn == 401


async def test_answers_are_not_cached_and_say_no_versions(
    pair: KMEPair, sae: Call
) -> None:
    alice = sae("gw-a", pair.alice.url)
    for answer in (await alice.draw("gw-b"), await alice.get("x", "status")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Server"] == "qgw-kme"
