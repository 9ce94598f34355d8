import pytest

from gateway.control.params import (
    RawKey,
    read_flag,
    read_import,
    read_name,
    read_optional_name,
    refuse_unknown,
)
from gateway.errors import ControlError
from gateway.secret import Secret


def test_names_and_flags_are_read() -> None:
    assert read_name({"name": "paris"}) == "paris"
    assert read_optional_name({}, "link") is None
    assert read_optional_name({"link": None}, "link") is None
    assert read_flag({}, "all") is False
    assert read_flag({"all": True}, "all") is True


@pytest.mark.parametrize("value", [None, "", 1, "x" * 65, ["paris"]])
def test_what_is_no_name_is_refused(value: object) -> None:
    with pytest.raises(ControlError) as caught:
        read_name({"name": value})
    assert caught.value.code == "bad-request"


@pytest.mark.parametrize("value", [None, 0, 1, "true"])
def test_what_is_no_flag_is_refused(value: object) -> None:
    with pytest.raises(ControlError, match="true or false"):
        read_flag({"all": value}, "all")


def test_unknown_parameters_are_refused() -> None:
    refuse_unknown({"name": 1}, {"name", "link"})
    with pytest.raises(ControlError, match="'nmae'"):
        refuse_unknown({"nmae": 1}, {"name"})


def test_an_import_is_read_and_does_not_print_keys() -> None:
    request = read_import(
        {
            "link": "alpha",
            "keys": [
                {"key_ID": "1", "key": Secret(b"secret")},
                # Text was too short for a key, or hid the name of its member.
                {"key_ID": "2", "key": "c2VjcmV0"},
                {"key_ID": "3", "key": None},
            ],
        }
    )
    assert request.link == "alpha"
    assert request.keys == (
        RawKey("1", Secret(b"secret")),
        RawKey("2", None),
        RawKey("3", None),
    )
    assert "c2VjcmV0" not in repr(request)


@pytest.mark.parametrize(
    "params",
    [
        {"keys": []},
        {"link": "alpha"},
        {"link": "alpha", "keys": {}},
        {"link": "alpha", "keys": ["c2VjcmV0"]},
        {"link": "alpha", "keys": [{"key_ID": "1"}]},
        {"link": "alpha", "keys": [{"key_ID": 1, "key": "c2VjcmV0"}]},
        {"link": "alpha", "keys": [], "more": 1},
    ],
)
def test_what_is_no_import_is_refused_without_quoting_it(
    params: dict[str, object],
) -> None:
    with pytest.raises(ControlError) as caught:
        read_import(params)
    assert caught.value.code == "bad-request"
    assert "c2VjcmV0" not in str(caught.value)
