"""Turns at a rate: a second's worth at once, then one by one, whoever asks."""

import pytest

from service.sockets.throttle import BURST_S, Throttle


@pytest.mark.parametrize("rate", [1, 50, 2_000])
def test_a_burst_then_the_rate(rate: int) -> None:
    throttle = Throttle(rate)
    delays = [throttle.take(100.0) for _ in range(rate * 3)]
    assert sum(delay < 1e-9 for delay in delays) == pytest.approx(rate * BURST_S, abs=1)
    assert delays[-1] == pytest.approx(2.0)
    assert delays == sorted(delays)


def test_who_keeps_to_the_rate_never_waits() -> None:
    throttle = Throttle(10)
    assert all(throttle.take(i / 10) < 1e-9 for i in range(1_000))


def test_a_pause_gives_back_no_more_than_the_burst() -> None:
    throttle = Throttle(10)
    for _ in range(20):
        throttle.take(0.0)
    assert sum(throttle.take(1_000.0) < 1e-9 for _ in range(50)) == 10
