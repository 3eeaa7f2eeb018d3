"""The statistics of a task or of a label, and what one completion does to them.

Records agree with the scripts bit for bit, so the order of every floating-point operation is part
of the contract. Do not "simplify" an expression here without its twin in ``lua/``.

Source: the learning-progress signal (fast minus slow average, reweighted in favour of early
progress) is that of Kanitscheider et al. 2021, "Multi-task curriculum learning in a complex,
visual, hard-exploration domain: Minecraft".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis_curriculum.scorers.learning_progress import LearningProgressConfig

NO_REWEIGHTING = 0.5
"""The ``early_progress_amplification`` at which R is the identity."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known of a task (or a label) from its completions.

    None means "never": before the first completion there is no average, and 0 is a value like any
    other. All averages are exponential (EMA) and in [0, 1], as scores are.

    Attributes:
        completion_count: Completions so far.
        total_score: Sum of their scores.
        last_score: The latest score.
        reward_ema: EMA of the score.
        ema_squared: EMA of the squared score.
        success_rate_ema: EMA of [score >= success_threshold].
        p_fast: Fast EMA of the mastery (the score above the random baseline, rescaled to [0, 1]).
        p_slow: Slow EMA of the mastery.
        p_true: Fast EMA of the score itself.
        random_baseline: The first score, at most 0.75; not looked at while normalisation is off.
        learning_progress: In [0, 1]; how fast the performance changes (or how much it varies).
    """

    completion_count: int = 0
    total_score: float = 0.0
    last_score: float | None = None
    reward_ema: float | None = None
    ema_squared: float | None = None
    success_rate_ema: float | None = None
    p_fast: float | None = None
    p_slow: float | None = None
    p_true: float | None = None
    random_baseline: float | None = None
    learning_progress: float | None = None


def fold(progress: Progress, score: float, hypers: LearningProgressConfig) -> Progress:
    """Return the progress after one more completion with ``score`` in [0, 1]."""
    tracker_rate = hypers.task_tracker_ema_alpha
    fast_rate = hypers.ema_timescale
    slow_rate = fast_rate * hypers.slow_timescale_factor
    first = progress.random_baseline
    if progress.completion_count == 0 and hypers.use_baseline_normalization:
        first = min(score, 0.75)
    baseline = first if hypers.use_baseline_normalization else None
    mastery = score if baseline is None else max(score - baseline, 0.0) / max(1 - baseline, 1e-10)
    reward_ema = _ema(progress.reward_ema, tracker_rate, score)
    ema_squared = _ema(progress.ema_squared, tracker_rate, score * score)
    success = 1.0 if score >= hypers.success_threshold else 0.0
    p_fast = _ema(progress.p_fast, fast_rate, mastery)
    p_slow = _ema(progress.p_slow, slow_rate, mastery)
    if hypers.use_bidirectional:
        early = hypers.early_progress_amplification
        learning_progress = abs(reweight(p_fast, early) - reweight(p_slow, early))
    else:
        learning_progress = math.sqrt(max(0.0, ema_squared - reward_ema * reward_ema))
    return Progress(
        completion_count=progress.completion_count + 1,
        total_score=progress.total_score + score,
        last_score=score,
        reward_ema=reward_ema,
        ema_squared=ema_squared,
        success_rate_ema=_ema(progress.success_rate_ema, tracker_rate, success),
        p_fast=p_fast,
        p_slow=p_slow,
        p_true=_ema(progress.p_true, fast_rate, score),
        random_baseline=first,
        learning_progress=learning_progress,
    )


def reweight(p: float, early: float) -> float:
    """R(p): stretch low performance so that early progress counts for more.

    ``R(p) = p (1 - th) / (p + th (1 - 2 p))`` maps [0, 1] onto itself, rising; th = ``early`` in
    (0, 1) is the performance that becomes one half. 0.5 is the identity.
    """
    p = min(max(p, 0.0), 1.0)
    if early == NO_REWEIGHTING:
        return p
    return p * (1 - early) / (p + early * (1 - 2 * p))


def _ema(old: float | None, rate: float, value: float) -> float:
    return value if old is None else old + rate * (value - old)
