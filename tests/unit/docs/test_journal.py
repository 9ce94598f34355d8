"""The page of the journal's words: as the product has them, each event once."""

import inspect
import logging
import pkgutil
from importlib import import_module

import pytest
from pages.journal import PAGE, make_page

import gateway.events
from gateway.events.bus import Event, publish, subscribe, unsubscribe
from gateway.events.tunnels import HalfInstalled
from gateway.observe.journal.listener import TABLES, log
from gateway.rotation import events as rotation_events
from tests.unit.docs.test_pages import ROOT


def test_the_page_is_what_the_product_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == make_page(), "write it anew"


def test_every_event_has_one_wording() -> None:
    modules = [
        import_module(f"gateway.events.{each.name}")
        for each in pkgutil.iter_modules(gateway.events.__path__)
    ]
    kinds = {
        found
        for module in (*modules, rotation_events)
        for _, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, Event) and found is not Event
    }
    worded = [wording.kind for table in TABLES.values() for wording in table]
    assert len(worded) == len(set(worded))
    assert set(worded) == kinds
    assert len(kinds) > 90


def test_no_log_call_elsewhere_names_an_event() -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "gateway").rglob("*.py"))
        if 'extra={"event"' in path.read_text(encoding="utf-8")
        and not {"observe", "kme"} & set(path.parts)
    ]
    assert found == []


def test_a_listener_hears_each_event_once_until_it_listens_no_more() -> None:
    heard: list[Event] = []
    event = HalfInstalled("a-b", 7, "busy")
    subscribe(heard.append)
    listener = heard.append
    subscribe(listener)
    publish(event)
    unsubscribe(listener)
    publish(event)
    assert heard == [event]


def test_a_line_has_the_events_fields(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        log(HalfInstalled("a-b", 7, "busy"))
    (record,) = caplog.records
    assert record.getMessage() == ("cannot remove what was installed of epoch 7: busy")
    assert record.__dict__["tunnel"] == "a-b"
    assert record.__dict__["event"] == "half-installed"
    assert not hasattr(record, "epoch"), "an epoch that is not in force has no field"
