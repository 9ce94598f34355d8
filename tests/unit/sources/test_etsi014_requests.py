"""Requests as the standard writes them, with extensions and further SAEs."""

import json
from uuid import UUID

import pytest

from gateway.errors import SourceFault
from gateway.sources.etsi014.client import ETSI014Client
from gateway.sources.etsi014.requests import (
    EncKeys,
    dec_keys_request,
    enc_keys_request,
    status_request,
)
from tests.unit.sources.conftest import MakeClient
from tests.unit.sources.hostile import HostileKME, reply
from tests.unit.sources.leaks import fault_of

ID = UUID("BC490419-7D60-487f-ADC1-4DDCC177C139")
FULL = EncKeys(
    3,
    1024,
    ("ABCDEFG", "HIJ/KL"),
    ({"abc_route_type": "direct"},),
    ({"abc_max_age": 30_000}, {"x": [None]}),
)


def test_status() -> None:
    request = status_request("sae:1 ü/")
    assert (request.method, request.body) == ("GET", None)
    assert request.path == "/api/v1/keys/sae%3A1%20%C3%BC%2F/status"


def test_enc_keys_by_post() -> None:
    request = enc_keys_request("b", FULL)
    assert (request.method, request.path) == ("POST", "/api/v1/keys/b/enc_keys")
    assert json.loads(request.body or b"") == {
        "number": 3,
        "size": 1024,
        "additional_slave_SAE_IDs": ["ABCDEFG", "HIJ/KL"],
        "extension_mandatory": [{"abc_route_type": "direct"}],
        "extension_optional": [{"abc_max_age": 30_000}, {"x": [None]}],
    }


@pytest.mark.parametrize(
    ("wanted", "query"),
    [(EncKeys(), "number=1"), (EncKeys(20, 512), "number=20&size=512")],
)
def test_enc_keys_by_get(wanted: EncKeys, query: str) -> None:
    assert wanted.fits_get
    request = enc_keys_request("b", wanted, by_get=True)
    assert (request.method, request.body) == ("GET", None)
    assert request.path == f"/api/v1/keys/b/enc_keys?{query}"


def test_dec_keys() -> None:
    request = dec_keys_request("a", [ID, ID])
    assert json.loads(request.body or b"") == {"key_IDs": [{"key_ID": str(ID)}] * 2}
    request = dec_keys_request("a", [ID], by_get=True)
    assert request.path == f"/api/v1/keys/a/dec_keys?key_ID={ID}"
    with pytest.raises(ValueError, match="unpack"):
        dec_keys_request("a", [ID, ID], by_get=True)


def test_answers_may_grow_with_what_is_asked() -> None:
    limits = [enc_keys_request("b", EncKeys(n)).max_body for n in (1, 2, 100)]
    assert limits[1] - limits[0] == (limits[2] - limits[1]) // 98
    assert dec_keys_request("b", [ID]).max_body == limits[0]


async def test_request_with_extensions(kme: HostileKME, make: MakeClient) -> None:
    client = make(kme)
    assert isinstance(client, ETSI014Client)
    assert not FULL.fits_get
    contents = await client.enc_keys(FULL)
    assert [key.key.expose() for key in contents.keys] == kme.made
    assert kme.asked[0].members["extension_mandatory"] == [{"abc_route_type": "direct"}]
    said = "not all extension_mandatory parameters are supported"
    kme.replies["enc_keys"] = [reply({"message": said}, 400)]
    assert await fault_of(client.enc_keys(FULL)) is SourceFault.REJECTED
    # GET cannot carry them: that POST is refused is an error, then.
    kme.replies["enc_keys"] = [reply(b"", 405)]
    assert await fault_of(client.enc_keys(FULL)) is SourceFault.REJECTED
    assert {asked.method for asked in kme.asked} == {"POST"}
