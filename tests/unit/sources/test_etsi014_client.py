"""The ETSI 014 client and a KME over real TLS: what is asked, what comes of it."""

import asyncio
import base64
import json
from uuid import uuid4

import pytest

from gateway.errors import SourceFault
from tests.unit.sources.conftest import OURS, PEERS, MakeClient, Waits
from tests.unit.sources.hostile import Asked, HostileKME, container, reply
from tests.unit.sources.leaks import failure_of, fault_of


async def test_draws_keys_in_one_call(kme: HostileKME, make: MakeClient) -> None:
    delivery = await make(kme).get_keys(3)
    assert [key.key.expose() for key in delivery.keys] == kme.made
    assert not delivery.missing
    assert not delivery.refused
    (asked,) = kme.calls("enc_keys")
    assert (asked.method, asked.sae_id) == ("POST", PEERS)
    assert asked.members == {"number": 3}
    assert asked.headers["content-type"] == "application/json"


async def test_fetches_keys_by_id(kme: HostileKME, make: MakeClient) -> None:
    ids = kme.fill(5)
    delivery = await make(kme).get_keys_with_ids(ids)
    assert [key.key_id for key in delivery.keys] == ids
    assert [key.key.expose() for key in delivery.keys] == kme.made
    (asked,) = kme.calls("dec_keys")
    assert asked.members == {"key_IDs": [{"key_ID": str(i)} for i in ids]}


async def test_nothing_asked_is_no_call(kme: HostileKME, make: MakeClient) -> None:
    client = make(kme)
    assert not (await client.get_keys(0)).keys
    assert not (await client.get_keys_with_ids([])).keys
    assert not kme.asked


async def test_status(kme: HostileKME, make: MakeClient) -> None:
    status = await make(kme).get_status()
    assert status.source == kme.url
    assert (status.source_kme_id, status.target_kme_id) == ("kme-redu", "kme-betzdorf")
    assert (status.key_size, status.max_key_per_request) == (256, 128)
    assert (status.stored_key_count, status.max_key_count) == (25_000, 100_000)
    assert status.notes == ()
    assert status.certificate_expires is not None


async def test_sae_ids_are_encoded(kme: HostileKME, make: MakeClient) -> None:
    peer = "/CN=sae ä?#%2F../x"
    client = make(kme, peer_sae_id=peer)
    await client.get_keys(1)
    (asked,) = kme.calls("enc_keys")
    assert asked.sae_id == peer
    assert asked.target.count("/") == 5


async def test_connections_are_kept(kme: HostileKME, make: MakeClient) -> None:
    client = make(kme)
    for _ in range(5):
        await client.get_keys(1)
    assert kme.connections == 1


async def test_limits_are_learned_once(kme: HostileKME, make: MakeClient) -> None:
    kme.status = {"max_key_per_request": 2}
    client = make(kme)
    assert len((await client.get_keys(10)).keys) == 2
    assert len((await client.get_keys(10)).keys) == 2
    ids = kme.fill(5)
    delivery = await client.get_keys_with_ids(ids)
    assert [key.key_id for key in delivery.keys] == ids[:2]
    assert not delivery.missing
    assert len(kme.calls("status")) == 1


async def test_batch_bounds_what_is_asked(kme: HostileKME, make: MakeClient) -> None:
    client = make(kme, batch=4)
    assert len((await client.get_keys(10)).keys) == 4
    assert len((await client.get_keys_with_ids(kme.fill(10))).keys) == 4


@pytest.mark.parametrize("key_size", [128, 512, None])
async def test_size_is_said_where_it_is_not_the_default(
    kme: HostileKME, make: MakeClient, key_size: int | None
) -> None:
    kme.status = {"key_size": key_size}
    await make(kme).get_keys(1)
    assert kme.calls("enc_keys")[0].members == {"number": 1, "size": 256}


@pytest.mark.parametrize("limits", [{"max_key_size": 128}, {"min_key_size": 512}])
async def test_kme_without_our_size_is_refused(
    kme: HostileKME, make: MakeClient, limits: dict[str, int]
) -> None:
    kme.status = limits
    error = await failure_of(make(kme).get_keys(1))
    assert error.fault is SourceFault.REJECTED
    assert "256 bits" in error.message
    assert not kme.calls("enc_keys")


async def test_kme_without_status_still_gives_keys(
    kme: HostileKME, make: MakeClient
) -> None:
    kme.replies["status"] = [reply({"message": "not implemented"}, 404)]
    client = make(kme)
    assert len((await client.get_keys(2)).keys) == 2
    assert kme.calls("enc_keys")[0].members == {"number": 2, "size": 256}
    assert await fault_of(client.get_status()) is SourceFault.REJECTED


async def test_kme_that_refuses_post_is_asked_by_get(
    kme: HostileKME, make: MakeClient
) -> None:
    no_post = reply({"message": "Method Not Allowed"}, 405)
    kme.status = {"key_size": 128}
    kme.replies["enc_keys"] = [no_post, reply(container([kme.new_key()]))]
    client = make(kme)
    assert len((await client.get_keys(1)).keys) == 1
    assert [a.method for a in kme.calls("enc_keys")] == ["POST", "GET"]
    assert kme.calls("enc_keys")[1].query == {"number": "1", "size": "256"}
    ids = kme.fill(3)
    lost = uuid4()
    delivery = await client.get_keys_with_ids([ids[0], lost, *ids[1:]])
    assert [key.key_id for key in delivery.keys] == ids
    assert delivery.missing == (lost,)
    assert {a.method for a in kme.calls("dec_keys")} == {"GET"}
    assert "refuses POST; asked by GET" in (await client.get_status()).notes


async def test_post_refused_is_learned_while_fetching(
    kme: HostileKME, make: MakeClient
) -> None:
    ids = kme.fill(2)

    async def answer(asked: object, writer: object) -> None:
        raise AssertionError(asked, writer)

    kme.replies["dec_keys"] = [
        reply({}, 405),
        reply(container([(ids[0], kme.pool[ids[0]])])),
        reply(container([(ids[1], kme.pool[ids[1]])])),
        answer,
    ]
    delivery = await make(kme).get_keys_with_ids(ids)
    assert [key.key_id for key in delivery.keys] == ids
    methods = [asked.method for asked in kme.calls("dec_keys")]
    assert methods == ["POST", "GET", "GET"]


async def test_unknown_members_and_extensions_are_passed_over(
    kme: HostileKME, make: MakeClient
) -> None:
    key_id, key = kme.new_key()
    entry = {
        "key_ID": str(key_id).upper(),
        "key_ID_extension": {"a": [1, {"b": None}]},
        "key": base64.b64encode(key).decode(),
        "key_extension": 3.5,
        "vendor": True,
    }
    content = {"keys": [entry], "key_container_extension": {}, "more": "ü"}
    kme.replies["enc_keys"] = [reply(content)]
    kme.status = {"status_extension": {"qber": 0.02}}
    client = make(kme)
    delivery = await client.get_keys(1)
    assert delivery.keys[0].key_id == key_id
    assert delivery.keys[0].key.expose() == key
    assert (await client.get_status()).notes == ()


async def test_keys_as_object_is_taken_and_noted(
    kme: HostileKME, make: MakeClient
) -> None:
    (entry,) = container([kme.new_key()])["keys"]
    kme.replies["enc_keys"] = [reply({"keys": entry})]
    client = make(kme)
    assert len((await client.get_keys(1)).keys) == 1
    (note,) = (await client.get_status()).notes
    assert "an object" in note


async def test_keys_as_object_by_key_id_is_taken_and_noted(
    kme: HostileKME, make: MakeClient
) -> None:
    keys = [kme.new_key() for _ in range(3)]
    entries = {entry["key_ID"]: entry for entry in container(keys)["keys"]}
    kme.replies["enc_keys"] = [reply({"keys": entries})]
    client = make(kme)
    delivery = await client.get_keys(3)
    assert [(key.key_id, key.key.expose()) for key in delivery.keys] == keys
    assert "an object" in (await client.get_status()).notes[0]


async def test_other_media_type_is_noted(kme: HostileKME, make: MakeClient) -> None:
    good = reply(container([kme.new_key()]))
    kme.replies["enc_keys"] = [good.replace(b"application/json", b"text/plain")]
    client = make(kme)
    assert len((await client.get_keys(1)).keys) == 1
    assert (await client.get_status()).notes == (
        "its media type is not application/json",
    )


async def test_status_of_another_pair_is_noted(
    kme: HostileKME, make: MakeClient
) -> None:
    kme.status = {
        "master_SAE_ID": "sae-mallory",
        "stored_key_count": 9,
        "max_key_count": 3,
        "min_key_size": 512,
        "max_key_size": 64,
    }
    notes = (await make(kme).get_status()).notes
    assert f"says that master_SAE_ID is sae-mallory, it should be {OURS}" in notes
    assert "stores more keys than max_key_count" in notes
    assert "min_key_size is greater than max_key_size" in notes


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "no keys available"),
        (503, "not enough keys in the pool"),
        (503, "the key store is empty"),
        (404, "insufficient keys"),
        (400, "keys are exhausted"),
    ],
)
async def test_empty_pool_is_told_by_its_message(
    kme: HostileKME, make: MakeClient, status: int, message: str
) -> None:
    kme.replies["enc_keys"] = [reply({"message": message}, status)]
    error = await failure_of(make(kme).get_keys(1))
    assert error.fault is SourceFault.EMPTY
    assert message in error.message
    assert len(kme.calls("enc_keys")) == 1


@pytest.mark.parametrize("status", [400, 503])
async def test_empty_pool_is_told_by_the_status(
    kme: HostileKME, make: MakeClient, status: int
) -> None:
    kme.replies["enc_keys"] = [reply(b"", status)]
    kme.status = {"stored_key_count": 0}
    assert await fault_of(make(kme).get_keys(1)) is SourceFault.EMPTY


async def test_empty_container_is_an_empty_pool(
    kme: HostileKME, make: MakeClient
) -> None:
    kme.replies["enc_keys"] = [reply({"keys": []})]
    assert await fault_of(make(kme).get_keys(1)) is SourceFault.EMPTY


async def test_fewer_are_asked_where_fewer_are_stored(
    kme: HostileKME, make: MakeClient
) -> None:
    keys = [kme.new_key() for _ in range(3)]
    kme.replies["enc_keys"] = [
        reply({"message": "not enough keys"}, 503),
        reply(container(keys)),
    ]
    kme.status = {"stored_key_count": 3}
    delivery = await make(kme).get_keys(10)
    assert len(delivery.keys) == 3
    assert [a.members["number"] for a in kme.calls("enc_keys")] == [10, 3]


@pytest.mark.parametrize(
    ("status", "message", "fault"),
    [
        (400, "size shall be a multiple of 8", SourceFault.REJECTED),
        (422, "size is invalid", SourceFault.REJECTED),
        (400, "", SourceFault.REJECTED),
        (400, "client certificate does not match", SourceFault.UNAUTHORIZED),
        (401, "", SourceFault.UNAUTHORIZED),
        (403, "", SourceFault.UNAUTHORIZED),
        (404, "SAE not found", SourceFault.UNAUTHORIZED),
        (404, "", SourceFault.REJECTED),
        (429, "", SourceFault.OVERLOADED),
        (503, "", SourceFault.OVERLOADED),
        (500, "oops", SourceFault.SERVER),
        (501, "", SourceFault.REJECTED),
        (599, "", SourceFault.SERVER),
    ],
)
async def test_errors_of_enc_keys(
    kme: HostileKME, make: MakeClient, status: int, message: str, fault: SourceFault
) -> None:
    kme.replies["enc_keys"] = [reply({"message": message}, status)]
    error = await failure_of(make(kme).get_keys(1))
    assert error.fault is fault
    assert (error.source, error.call) == (kme.url, "enc_keys")
    assert f"HTTP {status}" in error.message


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "one or more keys specified are not found on KME"),
        (404, "key not found"),
        (400, "Key already consumed"),
        (403, "the key has expired"),
        (409, ""),
        (410, ""),
        (400, ""),
        (404, ""),
        (403, ""),
        (401, ""),
        (503, "Error of server side"),
    ],
)
async def test_missing_keys_in_every_dialect(
    kme: HostileKME, make: MakeClient, status: int, message: str
) -> None:
    kme.replies["dec_keys"] = [reply({"message": message}, status)]
    lost = uuid4()
    delivery = await make(kme).get_keys_with_ids([lost])
    assert delivery.missing == (lost,)
    assert not delivery.keys


@pytest.mark.parametrize(
    ("status", "message", "fault"),
    [
        (400, "unknown SAE", SourceFault.UNAUTHORIZED),
        (400, "too many key_IDs", SourceFault.REJECTED),
        (422, "", SourceFault.REJECTED),
        (500, "", SourceFault.SERVER),
    ],
)
async def test_errors_of_dec_keys(
    kme: HostileKME, make: MakeClient, status: int, message: str, fault: SourceFault
) -> None:
    kme.replies["dec_keys"] = [reply({"message": message}, status)]
    assert await fault_of(make(kme).get_keys_with_ids([uuid4()])) is fault


@pytest.mark.parametrize(
    ("status", "fault"),
    [(401, SourceFault.UNAUTHORIZED), (503, SourceFault.OVERLOADED)],
)
async def test_one_that_tells_no_status_either_is_believed(
    kme: HostileKME, make: MakeClient, status: int, fault: SourceFault
) -> None:
    for call in ("dec_keys", "status"):
        kme.replies[call] = [reply({"message": "no"}, status)]
    assert await fault_of(make(kme).get_keys_with_ids([uuid4()])) is fault


async def test_one_that_asks_to_wait_is_waited_for(
    kme: HostileKME, make: MakeClient
) -> None:
    busy = reply(b"", 503, headers=(("Retry-After", "30"),))
    kme.replies["dec_keys"] = [busy]
    error = await failure_of(make(kme).get_keys_with_ids([uuid4()]))
    assert (error.fault, error.retry_after) == (SourceFault.OVERLOADED, 30.0)


async def test_key_ids_go_back_in_the_case_in_which_the_kme_has_them(
    kme: HostileKME, make: MakeClient
) -> None:
    """To this one they are texts; one more call finds that out, for good."""
    ids = kme.fill(6)
    texts = {str(key_id).upper(): key_id for key_id in ids}

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        wanted = [entry["key_ID"] for entry in asked.members["key_IDs"]]
        if not texts.keys() >= set(wanted):
            writer.write(reply({"message": "key not found"}, 404))
            return
        keys = [(texts[text], kme.pool[texts[text]]) for text in wanted]
        writer.write(reply(container(keys)))

    kme.replies["dec_keys"] = [answer]
    client = make(kme)
    for part in (ids[:3], ids[3:]):
        delivery = await client.get_keys_with_ids(part)
        assert [key.key_id for key in delivery.keys] == part
    assert len(kme.calls("dec_keys")) == 5
    lost = uuid4()
    assert (await client.get_keys_with_ids([lost])).missing == (lost,)
    assert len(kme.calls("dec_keys")) == 6


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"detail": "Not authenticated"}, "Not authenticated"),
        (
            {"detail": [{"loc": ["body", "number"], "msg": "value too large"}]},
            "value too large",
        ),
        ({"error": "pool is locked"}, "pool is locked"),
        ({"error": {"code": 17, "message": "pool is locked"}}, "pool is locked"),
        (
            {
                "type": "about:blank",
                "title": "Busy",
                "detail": "come back",
                "status": 9,
            },
            "Busy; come back",
        ),
        ({"message": "no", "details": [{"x": "y"}]}, "no"),
        ({"error": "a\x1b[2J\nb\u202e"}, "a?[2J b?"),
        ({"detail": "word " * 400}, "word word word"),
        ({"nothing": "of the kind"}, ""),
    ],
)
async def test_a_kmes_own_words_wherever_they_stand(
    kme: HostileKME, make: MakeClient, body: dict[str, object], words: str
) -> None:
    kme.replies["enc_keys"] = [reply(body, 500)]
    message = (await failure_of(make(kme).get_keys(1))).message
    assert (f'HTTP 500: "{words}' if words else "HTTP 500") in message
    assert message.isprintable()
    assert len(message) < 250


async def test_nothing_is_missing_when_we_are_not_let_in(
    kme: HostileKME, make: MakeClient
) -> None:
    """A bare 404 to everything is about us, not about the keys."""
    client = make(kme)
    await client.get_keys(1)
    client._well_until = float("-inf")  # type: ignore[attr-defined]  # as if later
    for call in ("status", "dec_keys"):
        kme.replies[call] = [reply(b"", 403)]
    fault = await fault_of(client.get_keys_with_ids([uuid4(), uuid4()]))
    assert fault is SourceFault.UNAUTHORIZED


async def test_missing_ones_are_found_by_halving(
    kme: HostileKME, make: MakeClient
) -> None:
    ids = kme.fill(64)
    lost = [uuid4(), uuid4()]
    wanted = [*ids[:7], lost[0], *ids[7:40], lost[1], *ids[40:62]]
    delivery = await make(kme).get_keys_with_ids(wanted)
    assert set(delivery.missing) == set(lost)
    assert {key.key_id for key in delivery.keys} == set(ids[:62])
    assert len(kme.calls("dec_keys")) <= 27


async def test_halving_is_bounded_and_gets_on(
    kme: HostileKME, make: MakeClient
) -> None:
    client = make(kme)
    left = [uuid4() for _ in range(64)]
    for _round in range(8):
        before = len(kme.calls("dec_keys"))
        delivery = await client.get_keys_with_ids(left)
        assert len(kme.calls("dec_keys")) - before <= 32
        assert not delivery.keys
        left = [key_id for key_id in left if key_id not in delivery.missing]
    assert not left


async def test_what_was_fetched_survives_a_later_failure(
    kme: HostileKME, make: MakeClient
) -> None:
    ids = kme.fill(4)
    not_found = reply({"message": "keys not found"}, 400)
    half = container([(key_id, kme.pool[key_id]) for key_id in ids[:2]])
    kme.replies["dec_keys"] = [not_found, reply(half), reply(b"", 500)]
    delivery = await make(kme).get_keys_with_ids(ids)
    assert [key.key_id for key in delivery.keys] == ids[:2]
    assert not delivery.missing


async def test_answer_with_some_of_the_keys(kme: HostileKME, make: MakeClient) -> None:
    ids = kme.fill(3)
    some = container([(key_id, kme.pool[key_id]) for key_id in ids[:2]])
    kme.replies["dec_keys"] = [reply(some)]
    delivery = await make(kme).get_keys_with_ids(ids)
    assert len(delivery.keys) == 2
    assert delivery.missing == (ids[2],)


async def test_same_id_is_asked_once(kme: HostileKME, make: MakeClient) -> None:
    (key_id,) = kme.fill(1)
    delivery = await make(kme).get_keys_with_ids([key_id, key_id])
    assert len(delivery.keys) == 1
    assert len(kme.calls("dec_keys")[0].members["key_IDs"]) == 1


async def test_retry_after_is_waited_when_short(
    kme: HostileKME, make: MakeClient, waits: Waits
) -> None:
    busy = reply(b"", 429, headers=(("Retry-After", "2"),))
    kme.replies["enc_keys"] = [busy, reply(container([kme.new_key()]))]
    assert len((await make(kme).get_keys(1)).keys) == 1
    assert waits.seconds == [2.25]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("60", 60.0), ("99999999999999999999", 3600.0), ("soon", None), ("-3", None)],
)
async def test_retry_after_is_handed_on_when_long(
    kme: HostileKME, make: MakeClient, waits: Waits, value: str, seconds: float | None
) -> None:
    kme.replies["enc_keys"] = [reply(b"", 503, headers=(("Retry-After", value),))]
    kme.status = {"stored_key_count": None}
    error = await failure_of(make(kme).get_keys(1))
    assert error.fault is SourceFault.OVERLOADED
    assert error.retry_after == seconds
    assert len(waits.seconds) == (0 if seconds else 2)


async def test_retry_after_as_a_date(kme: HostileKME, make: MakeClient) -> None:
    date = "Fri, 01 Jan 2100 00:00:00 GMT"
    kme.replies["status"] = [reply(b"", 503, headers=(("Retry-After", date),))]
    assert (await failure_of(make(kme).get_status())).retry_after == 3600.0


async def test_kmes_own_words_are_repeated_without_keys(
    kme: HostileKME, make: MakeClient
) -> None:
    _id, key = kme.new_key()
    encoded = base64.b64encode(key).decode()
    words = f"cannot give {encoded} or {key.hex()} to\x1b[31m you\nsorry"
    kme.replies["enc_keys"] = [reply({"message": words}, 500)]
    error = await failure_of(make(kme).get_keys(1))
    assert '"cannot give [...] or [...] to?[31m you sorry"' in error.message
    assert json.dumps(words) not in error.message
