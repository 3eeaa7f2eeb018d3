"""Alerts: what raises each, and what must not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from redis_curriculum.reporting import Alert, AlertKind
from redis_curriculum.reporting.alerts import alerts

HEALTHY: dict[str, Any] = {
    "samples": {"a": 600, "b": 400},
    "completions": {"a": 600, "b": 400},
    "failures": {"a": 4},
    "success_rate": {"a": 0.9, "b": 0.1},
    "learning_progress": {"a": 0.02, "b": 0.0},
    "spread": 1.0,
    "before": [{"a": 0.85, "b": 0.2}],
}


def found(**changes: Any) -> list[tuple[str, str | None]]:
    return [(alert.kind, alert.label) for alert in alerts(**HEALTHY | changes)]


def test_a_healthy_epoch_raises_none() -> None:
    assert found() == []
    nothing: Mapping[str, Any] = {n: {} for n in HEALTHY if n not in ("before", "spread")}
    assert alerts(**nothing, spread=0.0, before=[]) == ()


@pytest.mark.parametrize(
    ("now", "before", "raised"),
    [
        (0.39, [{"a": 0.7}], True),
        (0.41, [{"a": 0.7}], False),  # it fell by less than 0.3
        (0.3, [{"a": 0.69}], False),  # it was never high
        (0.4, [{"a": 0.9}, {"a": 0.5}], True),  # two epochs ago
        (0.4, [{"a": 0.9}, *[{}] * 5], False),  # too long ago
        (0.4, [], False),
    ],
)
def test_regression(now: float, before: list[dict[str, float]], *, raised: bool) -> None:
    expected = [(AlertKind.REGRESSION, "a")] if raised else []
    assert found(success_rate={"a": now}, before=before) == expected


def test_stall_is_a_pool_without_progress_in_an_epoch_that_had_results() -> None:
    flat = {"a": 0.005, "b": 0.0}
    assert found(learning_progress=flat) == [(AlertKind.STALL, None)]
    assert found(learning_progress={**flat, "b": 0.0051}) == []
    few = {"a": 50, "b": 49}
    assert found(learning_progress=flat, completions=few, samples=few) == []
    assert found(learning_progress={}) == []


def test_stall_goes_by_what_scores_do_not_by_the_range() -> None:
    """A run with scores of 0 to 10 in a range of 0 to 1,000 learns as one in a range of 0 to 10."""
    progress = {"a": 0.0003, "b": 0.0}
    assert found(learning_progress=progress, spread=0.03) == []
    assert found(learning_progress=progress, spread=0.07) == [(AlertKind.STALL, None)]
    nothing = {"a": 0.0, "b": 0.0}
    assert found(learning_progress=nothing, spread=0.0) == [(AlertKind.STALL, None)]
    (alert,) = alerts(**HEALTHY | {"learning_progress": nothing, "spread": 2e-9})
    text = "scores take 2.0e-09 of score_range, less than draws can tell apart: narrow it"
    assert alert.message == text
    (alert,) = alerts(**HEALTHY | {"learning_progress": nothing, "spread": 1e-14})
    assert "no label has learning progress above 5e-17" in alert.message, "equal, but for rounding"


def test_collapse_is_one_of_several_labels_that_takes_nearly_all() -> None:
    assert found(samples={"a": 900, "b": 100}) == [(AlertKind.COLLAPSE, "a")]
    assert found(samples={"a": 899, "b": 101}) == []
    assert found(samples={"b": 1000}) == [(AlertKind.COLLAPSE, "b")]  # a is there, never drawn
    assert found(samples={"b": 99}) == []
    assert found(samples={"a": 1000}, success_rate={"a": 0.9}) == []  # there is no other


def test_failures_are_many_and_a_good_part() -> None:
    assert found(failures={"a": 60}) == [(AlertKind.FAILURES, "a")]
    assert found(failures={"a": 59}) == []
    assert found(failures={"c": 5}, samples={"a": 10}) == [(AlertKind.FAILURES, "c")]
    assert found(failures={"c": 4}, samples={"a": 10}) == []


@pytest.mark.parametrize(
    ("samples", "completions", "failures", "raised"),
    [
        ({"a": 100}, {}, {}, True),
        ({"a": 50, "b": 50}, {"a": 50}, {}, True),
        ({"a": 50, "b": 51}, {"a": 50, "b": 1}, {}, False),  # less than half
        ({"a": 100}, {"a": 45}, {"a": 5}, True),
        ({"a": 100}, {"a": 45}, {"a": 6}, False),  # failures are reported, too
        ({"a": 49}, {}, {}, False),  # they may all be under way
        ({"a": 40}, {"a": 200}, {}, False),  # of the epoch before
    ],
)
def test_unreported_is_a_half_of_many_samples_without_a_result(
    samples: Any, completions: Any, failures: Any, *, raised: bool
) -> None:
    told = alerts(
        **HEALTHY | {"samples": samples, "completions": completions} | {"failures": failures}
    )
    assert (AlertKind.UNREPORTED in [alert.kind for alert in told]) == raised


def test_an_alert_says_what_with_its_numbers() -> None:
    raised = alerts(
        samples={"a": 999, "b": 1, "c": 40},
        completions={"a": 999},
        failures={"c": 30},
        success_rate={"a": 0.25, "b": 0.5},
        learning_progress={"a": 0.0},
        spread=1.0,
        before=[{"a": 0.75}],
    )
    assert [str(alert) for alert in raised] == [
        "regression: success rate of 'a' fell from 0.75 to 0.25",
        "stall: no label has learning progress above 0.005 (most: 0)",
        "collapse: 'a' took 96% of 1040 samples",
        "failures: tasks of 'c' failed 30 times in 40 samples",
    ]
    assert raised[1] == Alert(AlertKind.STALL, None, str(raised[1]).removeprefix("stall: "))
