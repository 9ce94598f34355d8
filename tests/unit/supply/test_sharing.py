"""Whose turn it is at a KME that several stocks draw on."""

from gateway.supply.turns import SharedKME


def test_the_emptiest_comes_first() -> None:
    shared = SharedKME()
    shared.wants("satellite", 0.5)
    shared.wants("lux>sin", 0.1)
    assert shared.is_turn("lux>sin")
    assert not shared.is_turn("satellite")
    shared.wants("lux>sin", 0.6)
    assert shared.is_turn("satellite")
    assert not shared.is_turn("lux>sin")


def test_who_wants_nothing_holds_nobody_up() -> None:
    shared = SharedKME()
    shared.wants("satellite", 0.9)
    shared.wants("lux>sin", 0.0)
    shared.content("lux>sin")
    shared.content("sin>lux")
    assert shared.is_turn("satellite")


def test_equals_need_not_wait_for_each_other() -> None:
    shared = SharedKME()
    shared.wants("a", 0.0)
    shared.wants("b", 0.0)
    assert shared.is_turn("a")
    assert shared.is_turn("b")
