# SPDX-License-Identifier: Apache-2.0
from glance_tasks.transfer import pace


def test_a_source_that_keeps_the_rate_is_fast_enough():
    kept = pace.Pace(1024, 60.0)

    assert all(kept.keeps(1.0, 1024) for _ in range(300))


def test_a_source_below_the_rate_is_too_slow_after_a_minute():
    kept = pace.Pace(1024, 60.0)

    answers = [kept.keeps(1.0, 1023) for _ in range(60)]

    assert answers == [True] * 59 + [False]


def test_a_burst_makes_up_for_waiting_within_a_minute():
    kept = pace.Pace(1024, 60.0)

    assert kept.keeps(59.0, 0)
    assert kept.keeps(1.0, 60 * 1024)


def test_a_fast_minute_does_not_excuse_the_next():
    kept = pace.Pace(1024, 60.0)

    assert kept.keeps(60.0, 1 << 30)
    assert not kept.keeps(60.0, 1024)


def test_any_rate_is_enough_where_none_is_asked_for():
    kept = pace.Pace(0, 60.0)

    assert kept.keeps(3600.0, 0)


def test_time_that_was_not_spent_waiting_does_not_count():
    kept = pace.Pace(1024, 60.0)

    assert all(kept.keeps(0.0, 1) for _ in range(1000))
