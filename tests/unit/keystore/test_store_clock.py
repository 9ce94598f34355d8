"""Age is counted in store seconds, whatever the machine's clocks do."""

import time

from gateway.keystore.clock import StoreClock, boot_seconds, load_boot_id
from gateway.keystore.rates import BUCKET_MS, RateBucket, RateMeter
from tests.keystore_contract import LINK, make_keys
from tests.unit.keystore.sqlite_bench import SQLiteBench


def test_time_while_the_daemon_was_down_counts_within_a_boot(
    bench: SQLiteBench,
) -> None:
    bench.store.intake.add(LINK, make_keys(0, 1), lifetime=60)
    bench.close()
    bench.advance(60)
    bench.store = bench._open()
    assert bench.store.stocks.status(LINK).expired == 1


def test_a_reboot_resumes_from_the_saved_time(bench: SQLiteBench) -> None:
    bench.store.intake.add(LINK, make_keys(0, 1), lifetime=60)
    bench.advance(40)
    bench.store.maintain()
    bench.reboot()
    bench.advance(19)
    assert bench.store.stocks.status(LINK).available == 1
    bench.advance(1)
    assert bench.store.stocks.status(LINK).expired == 1


def test_a_reboot_never_takes_time_back(bench: SQLiteBench) -> None:
    bench.advance(500)
    bench.restart()
    before = bench.store._opened.clock.now_ms()
    bench.reboot()
    assert bench.store._opened.clock.now_ms() >= before


def test_a_clock_that_jumps_back_stands_still(bench: SQLiteBench) -> None:
    bench.advance(500)
    before = bench.store._opened.clock.now_ms()
    bench.seconds -= 400
    assert bench.store._opened.clock.now_ms() == before
    bench.restart()
    assert bench.store._opened.clock.now_ms() == before


def test_unknown_boots_are_never_the_same(bench: SQLiteBench) -> None:
    bench.boot_id = ""
    bench.restart()
    before = bench.store._opened.clock.now_ms()
    bench.close()
    bench.advance(1000)
    bench.store = bench._open()
    assert bench.store._opened.clock.now_ms() == before


def test_the_machines_clock() -> None:
    clock = StoreClock()
    assert clock.now_ms() == 0
    assert clock.mark().boot_id == load_boot_id() != ""
    assert abs(boot_seconds() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 5


def test_meter_forgets_and_stays_small() -> None:
    meter = RateMeter(0)
    for second in range(5_000):
        meter.count(second * 1000, taken_in=2, consumed=1)
    rate_in, rate_out = meter.rates(5_000_000)
    assert abs(rate_in - 2) < 0.05
    assert abs(rate_out - 1) < 0.05
    assert len(meter.buckets()) <= 61
    assert meter.rates(6_000_000) == (0.0, 0.0)


def test_meter_of_a_young_link_averages_over_its_life() -> None:
    meter = RateMeter(50_000)
    meter.count(50_000, consumed=6)
    assert meter.rates(51_000) == (0.0, 6 / (BUCKET_MS / 1000))
    assert meter.rates(50_000 + 60_000) == (0.0, 0.1)


def test_meter_resumes() -> None:
    meter = RateMeter(0, [RateBucket(5, taken_in=3)])
    meter.count(5 * BUCKET_MS, taken_in=3)
    assert meter.buckets() == (RateBucket(5, taken_in=6),)
