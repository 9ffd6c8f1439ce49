"""A forecast on rolling origins after the cut, beside the naive one and exponential smoothing."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from models.evaluation.bootstrap import Interval, PairedMean, paired_mean
from models.evaluation.conformal import effective_rows
from models.forecast.baselines import SEASONAL_NAIVE, seasonal_naive
from models.forecast.loss import figures, row_loss, weighted_quantile_loss
from models.forecast.runtime import Array, Scorer
from models.forecast.spec import ForecastSpec
from models.forecast.windows import Windows


@dataclass
class Evaluation:
    """Figures on the hold-out.

    Attributes:
        rows: Rows that were judged.
        predicted: (rows, 3) low, middle, high.
        loss: Each row's part of the weighted quantile loss.
        blocks: Number of the season in which each row's step lies: seasons are resampled whole.
        metrics: Figures with intervals.
        naive_loss: As `loss`, of the seasonal naive forecast.
        baselines: Weighted quantile loss of each baseline.
        seconds: Wall seconds of answering.
    """

    rows: Windows
    predicted: Array
    loss: Array
    blocks: Array
    metrics: dict[str, Interval]
    naive_loss: Array
    baselines: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def gain(self, seed: int) -> PairedMean:
        """How much less it loses than the seasonal naive forecast, over seasons."""
        return paired_mean(self.loss, self.naive_loss, self.blocks, seed)


def quantiles_of(scorer: Scorer, rows: Windows) -> Array:
    """Answers as (rows, 3): low, middle, high."""
    answers = scorer.predict(rows.table)
    return np.column_stack([answers[name] for name in ("low", "value", "high")])


def worth(score: Array, step: Array) -> float:
    """How many independent rows there are: those of one step, by several origins and series, are alike."""
    _, codes, sizes = np.unique(step, return_inverse=True, return_counts=True)
    return effective_rows(score, codes, sizes)


def blocks_of(spec: ForecastSpec, target: Array) -> Array:
    """Number of the season of each step, from the first one; what is left at the end belongs to the last whole one."""
    since = target - target.min()
    whole = max(1, (int(since.max()) + 1) // spec.season)
    return np.asarray(np.minimum(since // spec.season, whole - 1))


def evaluate(spec: ForecastSpec, scorer: Scorer, past: Windows, rows: Windows) -> Evaluation:
    """Judge a forecast on rows that it has not learnt from.

    Args:
        spec: quantiles, season.
        scorer: the forecast.
        past: development rows: the naive forecast's width.
        rows: hold-out rows.
    """
    levels = np.asarray(spec.quantiles)
    begun = time.perf_counter()
    predicted = quantiles_of(scorer, rows)
    seconds = time.perf_counter() - begun
    blocks = blocks_of(spec, rows.target)
    naive = seasonal_naive(spec, past, rows)
    one = np.ones(len(rows))
    metrics = figures(rows.y, predicted, levels, blocks, spec.seed)
    naive_loss = row_loss(rows.y, naive, levels)
    found = Evaluation(rows, predicted, row_loss(rows.y, predicted, levels), blocks, metrics, naive_loss, {}, seconds)
    found.baselines[SEASONAL_NAIVE] = weighted_quantile_loss(rows.y, naive, levels)(one)
    found.metrics["skill"] = _skill(found, spec.seed)
    return found


def _skill(found: Evaluation, seed: int) -> Interval:
    """Share of the naive forecast's loss that it takes away, with the interval of the paired gain."""
    gain = found.gain(seed)
    size = max(gain.reference, 1e-12)
    low, high = (edge / size for edge in gain.interval)
    return Interval(gain.mean / size, low, high, gain.groups)
