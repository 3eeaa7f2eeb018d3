"""What the runs say: time to the threshold against uniform draws, as table, picture and JSON.

A run's curve is its mean held-out success, each evaluation averaged with its two neighbours; the
time to a threshold is where the curve first reaches it, linear between evaluations. A run that
never does counts as infinitely slow; a uniform run that never does counts as if it had reached it
with its last step, so that it makes no algorithm look faster than it was.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from families.family import COIN_FLIP, IMPOSSIBLE, Family
from families.run import Record

Floats = NDArray[np.float64]

UNIFORM: Final = "uniform"
BEGIN, END = "<!-- learning -->", "<!-- /learning -->"
AXES: Final = ("steps", "episodes")


class Curve:
    """One run: held-out success over steps and over episodes."""

    def __init__(self, record: Record) -> None:
        self.record = record
        marks = record["marks"]
        self.by = {axis: np.array([m[axis] for m in marks], dtype=np.float64) for axis in AXES}
        raw = np.array([np.mean(list(m["success"].values())) for m in marks], dtype=np.float64)
        self.success = smoothed(raw)

    def reaches(self, threshold: float, axis: str) -> float:
        """Return the steps or episodes to the threshold; infinity if it is never reached."""
        above = np.flatnonzero(self.success >= threshold)
        if not len(above):
            return math.inf
        last, x, y = int(above[0]), self.by[axis], self.success
        if last == 0:
            return float(x[0])
        part = (threshold - y[last - 1]) / (y[last] - y[last - 1])
        return float(x[last - 1] + part * (x[last] - x[last - 1]))

    def at(self, points: Floats, axis: str) -> Floats:
        """Return the success at these steps or episodes, NaN beyond the end of the run."""
        return np.interp(points, self.by[axis], self.success, right=math.nan)

    def wasted(self, threshold: float) -> float:
        """Return the share of groups, up to the threshold, from which nothing was learned."""
        marks = [m for m in self.record["marks"] if m["steps"]]
        there = [m for m in marks if m["steps"] >= self.reaches(threshold, "steps")]
        mark = (there or marks[-1:])[0]
        return float(mark["wasted"] / mark["episodes"]) if "wasted" in mark else math.nan

    def share(self, nature: str, axis: str) -> float:
        """Return the share of episodes, or of their steps, on tasks of this nature."""
        counts = self.record["marks"][-1]["nature"]
        total = sum(count[axis] for count in counts.values())
        return float(counts[nature][axis] / total) if nature in counts else 0.0


def smoothed(values: Floats) -> Floats:
    """Return each value averaged with its neighbours, the ends with the one they have."""
    sums = np.convolve(values, np.ones(3), mode="same")
    return np.asarray(sums / np.convolve(np.ones_like(values), np.ones(3), mode="same"))


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest over seeds."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return that of some numbers, which may be infinite; NaN where there are none."""
        ordered = sorted(v for v in values if not math.isnan(v))
        if not ordered:
            return cls(math.nan, math.nan, math.nan)
        n = len(ordered)
        low, high = ordered[(n - 1) // 2], ordered[n // 2]
        return cls(low if low == high else (low + high) / 2, ordered[0], ordered[-1])


@dataclass(frozen=True)
class Speed:
    """Time to the first threshold on one axis."""

    time: Spread
    of_medians: float
    """Uniform's median time over this median time: above 1 is faster."""
    paired: Spread
    """Uniform's time over this time, seed by seed."""


@dataclass(frozen=True)
class Summary:
    """One algorithm in one family, over all seeds."""

    family: str
    algorithm: str
    seeds: list[int]
    steps: Speed
    episodes: Speed
    reached: dict[str, int]
    """Seeds whose curve reaches each threshold."""
    success: dict[str, list[float]]
    """Median success at a quarter, half, three quarters and all of the budget, by steps; by
    episodes at the same parts of what the median uniform run played (NaN beyond a run's end)."""
    draws: dict[str, Spread]
    """Share of episodes by nature."""
    spent: dict[str, Spread]
    """Share of steps by nature."""
    replaced: Spread
    """Tasks that were replaced."""
    wasted: Spread
    """Share of groups, up to the first threshold, that were all right or all wrong; else NaN."""


def summarise(family: Family, records: Sequence[Record]) -> list[Summary]:
    """Return a summary for each algorithm that the records of a family hold, uniform first."""
    by_algorithm: dict[str, dict[int, Curve]] = {}
    for record in records:
        if record["family"] == family.name:
            by_algorithm.setdefault(record["algorithm"], {})[record["seed"]] = Curve(record)
    names = sorted(by_algorithm, key=lambda name: (name != UNIFORM, name))
    base = by_algorithm.get(UNIFORM, {})
    return [_summary(family, name, by_algorithm[name], base) for name in names]


def _summary(
    family: Family, name: str, curves: Mapping[int, Curve], base: Mapping[int, Curve]
) -> Summary:
    threshold = family.thresholds[0]
    parts = np.array([0.25, 0.5, 0.75, 1.0])
    played = Spread.of(c.by["episodes"][-1] for c in (base or curves).values()).median
    points = {"steps": parts * family.budget, "episodes": parts * played}
    every = list(curves.values())
    natures = (IMPOSSIBLE, COIN_FLIP)
    return Summary(
        family=family.name,
        algorithm=name,
        seeds=sorted(curves),
        steps=speed(curves, base, threshold, "steps"),
        episodes=speed(curves, base, threshold, "episodes"),
        reached={
            f"{t:.2f}": sum(math.isfinite(c.reaches(t, "steps")) for c in every)
            for t in family.thresholds
        },
        success={
            axis: [float(p) for p in np.median([c.at(points[axis], axis) for c in every], axis=0)]
            for axis in AXES
        },
        draws={n: Spread.of(c.share(n, "episodes") for c in every) for n in natures},
        spent={n: Spread.of(c.share(n, "steps") for c in every) for n in natures},
        replaced=Spread.of(float(c.record["replaced"]) for c in every),
        wasted=Spread.of(c.wasted(threshold) for c in every),
    )


def speed(
    curves: Mapping[int, Curve], base: Mapping[int, Curve], threshold: float, axis: str
) -> Speed:
    """Compare times to a threshold with those of uniform draws, by medians and seed by seed.

    Pairs of which neither reaches the threshold say nothing and are left out.
    """
    times = {seed: curve.reaches(threshold, axis) for seed, curve in curves.items()}
    uniform = {seed: curve.reaches(threshold, axis) for seed, curve in base.items()}
    bounded = {seed: min(t, float(base[seed].by[axis][-1])) for seed, t in uniform.items()}
    known = Spread.of(bounded.values()).median
    pairs = [
        bounded[seed] / time
        for seed, time in times.items()
        if seed in base and not (math.isinf(time) and math.isinf(uniform[seed]))
    ]
    time = Spread.of(times.values())
    neither = math.isinf(time.median) and math.isinf(Spread.of(uniform.values()).median)
    return Speed(time, math.nan if neither else known / time.median, Spread.of(pairs))


# --- table ---------------------------------------------------------------------------------------


def markdown(families: Iterable[Family], summaries: Iterable[Summary]) -> str:
    """Return what stands in the documentation: speed, then success and where the draws went."""
    by_family: dict[str, list[Summary]] = {}
    for summary in summaries:
        by_family.setdefault(summary.family, []).append(summary)
    rows = [(f, s) for f in families for s in by_family.get(f.name, [])]
    speeds = _table(
        "family (threshold) | algorithm | seeds | steps to the threshold | x uniform"
        " | paired by seed | episodes | x uniform | paired by seed | reached",
        [_speed_cells(*row) for row in rows],
    )
    shares = _table(
        "family | algorithm | success by steps | success by episodes | draws: impossible"
        " | coin flip | steps: impossible | coin flip | replaced | groups wasted",
        [_share_cells(*row) for row in rows],
    )
    legend = "".join(f"- **{f.name}**: {f.about}.\n" for f in dict(rows))
    return f"{legend}\n{speeds}\n{shares}"


def _speed_cells(family: Family, s: Summary) -> list[str]:
    def ratio(of: Speed) -> tuple[str, str]:
        if s.algorithm == UNIFORM:
            return "1", ""
        return f"**{_number(of.of_medians)}**", _spread(of.paired, _number)

    reached = ", ".join(f"{n} at {t}" for t, n in s.reached.items())
    return [
        f"{family.name} ({family.thresholds[0]:.2f})",
        s.algorithm,
        f"{len(s.seeds)}",
        _spread(s.steps.time, _count),
        *ratio(s.steps),
        _spread(s.episodes.time, _count),
        *ratio(s.episodes),
        reached,
    ]


def _share_cells(family: Family, s: Summary) -> list[str]:
    shares = [of[nature] for of in (s.draws, s.spent) for nature in (IMPOSSIBLE, COIN_FLIP)]
    return [
        family.name,
        s.algorithm,
        *(" ".join(map(_number, s.success[axis])) for axis in AXES),
        *(_spread(share, _percent) for share in shares),
        _spread(s.replaced, _count),
        _spread(s.wasted, _percent),
    ]


def _table(head: str, rows: Iterable[Sequence[str]]) -> str:
    columns = head.split(" | ")
    rule = ["---", "---", *["---:"] * (len(columns) - 2)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (columns, rule, *rows))


def _spread(s: Spread, text: Any) -> str:
    if s.lowest == s.highest or math.isnan(s.median):
        return str(text(s.median))
    return f"{text(s.median)} ({text(s.lowest)} - {text(s.highest)})"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _count(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:,.0f}"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f} %"


def write_between_marks(text: str, path: Path) -> None:
    """Put the text between the two marks of a file.

    Raises:
        ValueError: The file has no such marks.
    """
    old = path.read_text(encoding="utf-8")
    block = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    new, found = block.subn(lambda _: f"{BEGIN}\n{text}\n{END}", old)
    if found != 1:
        raise ValueError(f"{path} has no {BEGIN} ... {END}")
    path.write_text(new, encoding="utf-8")


def as_json(summary: Summary) -> dict[str, Any]:
    """Return a summary as JSON; None stands for infinity and for what is not known."""
    return {key: _finite(value) for key, value in asdict(summary).items()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
