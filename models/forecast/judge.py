"""Judging a forecast: all gates on origins after every version's cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import stats

from models.context import ModelContext
from models.evaluation.bootstrap import paired_mean
from models.forecast.evaluate import Evaluation, evaluate, quantiles_of, worth
from models.forecast.learn import development, hold_out
from models.forecast.loss import row_loss
from models.forecast.panel import Panel, read_panel
from models.forecast.runtime import Scorer
from models.forecast.spec import ForecastSpec
from models.forecast.train import TrainedForecast
from models.gates.checks import champion_gate, inputs_gate
from models.gates.record import record
from models.gates.verdict import Gate, Status, Verdict
from models.registry.client import open_client
from models.registry.versions import Version, get_version, rival
from models.spec import Gates
from pipelines.control_plan.errors import CellworksError


def load(version: Version, n_threads: int) -> Scorer:
    """The forecast of a version."""
    return Scorer.load(version.bundle, n_threads)


def cut_step(scorer: Scorer, panel: Panel) -> int:
    """First step that begins when a version had learnt, or after it."""
    return int(np.searchsorted(panel.begin_s[: panel.steps], float(scorer.bundle["record"]["cut_s"])))


def judge(spec: ForecastSpec, ctx: ModelContext, challenger: TrainedForecast | str) -> Verdict:
    """Judge a version and write the sealed verdict on it.

    Args:
        spec: the solution with its gates.
        ctx: snapshot, moment and registry.
        challenger: what `train` returned, or a version's number (its series are read again at the context's snapshot).

    Raises:
        CellworksError: no such version, or it is the champion itself.
    """
    client = open_client(ctx)
    trained = challenger if isinstance(challenger, TrainedForecast) else None
    version = trained.registered if trained else get_version(client, spec.name, str(challenger), ctx.home)
    own = trained.scorer if trained else load(version, ctx.n_threads)
    acting = rival(ctx.home, version, client, audited=ctx.is_guarded)
    other = load(acting, ctx.n_threads) if acting else None
    panel, other = _ground(spec, ctx, trained, own, other)
    number = acting.number if acting else None
    cut = max(cut_step(each, panel) for each in (own, other) if each is not None)
    rows = hold_out(spec, panel, cut)
    enough, found = Gate("holdout", False, "no forecast was made after the cut whose outcome is known"), None
    if len(rows):
        found = evaluate(spec, own, development(spec, panel, cut), rows)
        enough = _holdout_gate(spec, found)
    if found is None or not enough.passed:
        verdict = Verdict(spec.name, version.number, "insufficient", [enough], number, False, len(rows))
    else:
        verdict = _full(spec, version, found, (own, other, number), enough)
    cutoffs = {version.number: {"cut_s": own.bundle["record"]["cut_s"]}}
    if other is not None and number is not None:
        cutoffs[number] = {"cut_s": other.bundle["record"]["cut_s"]}
    return record(client, spec, ctx, version, replace(verdict, cutoffs=cutoffs))


def _ground(
    spec: ForecastSpec, ctx: ModelContext, trained: TrainedForecast | None, own: Scorer, other: Scorer | None
) -> tuple[Panel, Scorer | None]:
    """Series with every number that the versions read; a champion that lost one is compared with no more."""
    mine = list(own.bundle["record"]["columns"])
    theirs = list(other.bundle["record"]["columns"]) if other else []
    if trained is not None and set(theirs) <= set(trained.panel.further):
        return trained.panel, other
    try:
        return read_panel(spec, ctx, columns=list(dict.fromkeys([*mine, *theirs]))), other
    except CellworksError:
        if other is None:
            raise
        return trained.panel if trained is not None else read_panel(spec, ctx, columns=mine), None


def _holdout_gate(spec: ForecastSpec, found: Evaluation) -> Gate:
    """Whether the hold-out can tell at all: blocks of origins, and the whole way ahead."""
    blocks = len(np.unique(found.blocks))
    reach = int((found.rows.target - found.rows.origin).max()) + 1
    figures = {"rows": len(found.rows), "blocks": blocks, "steps_ahead": reach}
    short = (
        []
        if blocks >= spec.gates.min_holdout_blocks
        else [f"{blocks} blocks of origins of {spec.gates.min_holdout_blocks}"]
    )
    if reach < spec.horizon:
        short.append(f"{reach} steps ahead of {spec.horizon}")
    sentence = f"the hold-out is too small: {', '.join(short)}" if short else f"the hold-out has {len(found.rows)} rows"
    return Gate("holdout", not short, sentence, figures)


def _full(
    spec: ForecastSpec,
    version: Version,
    found: Evaluation,
    versus: tuple[Scorer, Scorer | None, str | None],
    enough: Gate,
) -> Verdict:
    """Every gate on a hold-out that is large enough."""
    own, other, number = versus
    against, is_better = Gate("not_worse", True, "there is no champion: the seasonal naive forecast decides"), False
    if other is not None:
        levels = np.asarray(spec.quantiles)
        theirs = row_loss(found.rows.y, quantiles_of(other, found.rows), levels)
        gain = paired_mean(found.loss, theirs, found.blocks, spec.seed)
        margins = Gates(not_worse_margin=spec.gates.not_worse_margin, horizon_nights=spec.gates.horizon_nights)
        against, is_better = champion_gate(gain, margins, str(number))
    gates = [
        enough,
        _baseline_gate(spec, found),
        _coverage_gate(spec, own, found),
        against,
        _speed_gate(spec, found),
        inputs_gate(version.tags),
    ]
    status: Status = "passed" if all(gate.passed for gate in gates) else "failed"
    return Verdict(spec.name, version.number, status, gates, number, is_better, len(found.rows))


def _baseline_gate(spec: ForecastSpec, found: Evaluation) -> Gate:
    """Loses less than the seasonal naive forecast, with the paired 95 % interval over blocks of origins above zero."""
    gain = found.gain(spec.seed)
    low, high = gain.interval
    own, naive = found.metrics["wql"].value, found.baselines["seasonal_naive"]
    figures = {"wql": own, "seasonal_naive": naive, "gain": gain.mean, "low": low, "high": high, "blocks": gain.groups}
    sentence = (
        f"weighted quantile loss {own:.4g}, of the seasonal naive forecast {naive:.4g} "
        f"(gain 95 % {low:.3g} to {high:.3g})"
    )
    return Gate("beats_baseline", low > 0, sentence, figures)


def _coverage_gate(spec: ForecastSpec, scorer: Scorer, found: Evaluation) -> Gate:
    """Intervals hold what they promise; the limit gives way to what chance alone would show.

    That is the chance of the rows judged on and of those that the widths were learnt from: given widths from n rows,
    coverage is itself a draw with the variance of n.
    """
    coverage, nominal = found.metrics["coverage"].value, spec.nominal_coverage
    inside = (found.rows.y >= found.predicted[:, 0]) & (found.rows.y <= found.predicted[:, 2])
    judged, learnt = worth(inside.astype(np.float64), found.rows.target), float(scorer.bundle["widths_worth"])
    chance = float(stats.norm.ppf(0.975) * np.sqrt(nominal * (1 - nominal) * (1 / judged + 1 / learnt)))
    limit = max(spec.gates.max_coverage_gap, chance)
    figures = {"coverage": coverage, "nominal": nominal, "allowed_gap": limit, "chance": chance}
    promised = f"{100 * nominal:.0f} % promised, {100 * limit:.1f} points off allowed"
    sentence = f"{100 * coverage:.1f} % of the intervals hold, {promised}"
    return Gate("calibration", abs(coverage - nominal) <= limit, sentence, figures)


def _speed_gate(spec: ForecastSpec, found: Evaluation) -> Gate:
    """Answers within its time limit; small hold-outs are charged as 1,000 rows."""
    each = found.seconds * 1000 / max(len(found.rows), 1000)
    limit = spec.gates.max_seconds_per_1000_rows
    figures = {"seconds": each, "limit": limit}
    return Gate("speed", each <= limit, f"{each:.4f} s per 1,000 rows, allowed {limit} s", figures)
