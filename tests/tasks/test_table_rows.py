"""What ``Table.row`` returns."""

from __future__ import annotations

from redis_curriculum.tasks import Table


def test_a_row_of_numbers_has_its_number() -> None:
    assert Table(5).row(3) == {"row": 3}
    assert Table(range(10, 30, 5)).row(20) == {"row": 20}
    assert Table([{"a": 1}, {"a": 2}]).row(1) == {"a": 2}
