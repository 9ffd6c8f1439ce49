"""Judging a challenger: all gates on rows that neither it nor the champion has seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from models.context import ModelContext
from models.evaluation.bootstrap import paired_mean
from models.evaluation.evaluate import Evaluation, Outputs, answer, evaluate
from models.evaluation.metrics import row_loss
from models.gates.checks import (
    baseline_gate,
    calibration_gate,
    champion_gate,
    holdout_gate,
    inputs_gate,
    judging_loss,
    leak_gate,
    slice_gate,
    speed_gate,
)
from models.gates.record import record
from models.gates.verdict import Gate, Status, Verdict
from models.prepare import Prepared, prepare
from models.registry.client import open_client
from models.registry.versions import Version, get_version, rival
from models.scoring.runtime import Array, Scorer, raw_columns
from models.spec import PredictiveSpec
from models.splits.splits import Cut, Split
from models.train import TrainingResult
from pipelines.control_plan.errors import CellworksError


def _cut(scorer: Scorer) -> Cut:
    """The rule by which a version's hold-out was cut."""
    return Cut(**scorer.bundle["record"]["cut"])


def _columns(*scorers: Scorer) -> list[str]:
    """Features of several contracts."""
    return list(dict.fromkeys(name for scorer in scorers for name in raw_columns(scorer.bundle["features"])))


def _ground(
    spec: PredictiveSpec,
    ctx: ModelContext,
    prepare: Callable[[PredictiveSpec, ModelContext, list[str] | None], Prepared],
    trained: TrainingResult | None,
    scorers: tuple[Scorer, Scorer | None],
) -> tuple[Prepared, str | None]:
    """Rows with every column that the versions need, and why the champion cannot be scored on them."""
    own, other = scorers
    needed = _columns(own, other) if other else _columns(own)
    if trained is not None and set(needed) <= set(trained.prepared.frame.table.column_names):
        return trained.prepared, None
    try:
        return prepare(spec, ctx, needed), None
    except CellworksError as error:
        if other is None:
            raise
        ground = trained.prepared if trained is not None else prepare(spec, ctx, _columns(own))
        return ground, error.what


def _later_rows(prepared: Prepared, *scorers: Scorer) -> Array:
    """Labelled rows that finished after every version's cut-off."""
    known = prepared.labels.known
    for scorer in scorers:
        known = known & _cut(scorer).holds_out(prepared.order)
    return np.flatnonzero(known)


def _compare(
    spec: PredictiveSpec, prepared: Prepared, outputs: Outputs, other: Outputs, number: str
) -> tuple[Gate, bool, Array]:
    """The gate against the champion, the claim, and the champion's loss per row."""
    classes = prepared.labels.classes
    groups = prepared.order.group[outputs.rows]
    gain = paired_mean(
        judging_loss(spec, classes, outputs), judging_loss(spec, classes, other), groups, spec.search.seed
    )
    gate, is_better = champion_gate(gain, spec.gates, number)
    return gate, is_better, row_loss(spec, other.y, other.predicted)


def _gates(
    spec: PredictiveSpec, prepared: Prepared, evaluation: Evaluation, tags: dict[str, str], versus: tuple[Gate, Array]
) -> list[Gate]:
    """All gates but the size of the hold-out."""
    outputs = evaluation.outputs
    groups = prepared.order.group[outputs.rows]
    against, reference = versus
    slices = {
        name: np.asarray(column.to_pylist(), dtype=object).astype(str)[outputs.rows]
        for name, column in prepared.frame.slices.items()
    }
    own = row_loss(spec, outputs.y, outputs.predicted)
    return [
        baseline_gate(spec, prepared.labels.classes, evaluation, groups),
        against,
        slice_gate(spec, own, reference, groups, slices),
        calibration_gate(spec, outputs, evaluation.metrics),
        speed_gate(spec, outputs),
        inputs_gate(tags),
        leak_gate(spec, evaluation.metrics, tags),
    ]


@dataclass(frozen=True)
class Versus:
    """The champion in a comparison: how it answers, its number, or why there is none to compare with."""

    scorer: Scorer | None
    number: str | None
    why_not: str = ""

    @property
    def alone(self) -> Gate:
        """The gate where there is nothing to compare with."""
        return Gate("not_worse", True, f"{self.why_not}: the baselines decide")


@dataclass(frozen=True)
class Judging:
    """What a family that learns from rows judges in its own way; the rest of a judgement is the same for all.

    Attributes:
        prepare: How it reads its rows; the columns are those of the contracts.
        enough: Whether some rows can tell at all.
        gates: Its gates on a hold-out that is large enough, and whether the challenger may claim to be better.
    """

    prepare: Callable[[PredictiveSpec, ModelContext, list[str] | None], Prepared]
    enough: Callable[[PredictiveSpec, Prepared, Array], Gate]
    gates: Callable[[PredictiveSpec, Prepared, Version, Scorer, Versus], tuple[list[Gate], bool]]


def judge(
    spec: PredictiveSpec, ctx: ModelContext, challenger: TrainingResult | str, way: Judging | None = None
) -> Verdict:
    """Judge a version and write the sealed verdict on it.

    Args:
        spec: the solution with its gates.
        ctx: snapshot, moment and registry.
        challenger: what `train` returned, or a version's number (read again at the context's snapshot).
        way: the family's own; None: the predictive one.

    Returns:
        The verdict with every gate's figures; also logged in the version's MLflow run as `verdict_<version>.json`, a
        later one as `verdict_<version>_2.json` and so on. The snapshot stays pinned as long as the version does.

    Raises:
        CellworksError: no such version, or it is the champion itself.
    """
    way = way or Judging(prepare, enough_rows, predictive_gates)
    client = open_client(ctx)
    trained = challenger if isinstance(challenger, TrainingResult) else None
    version = trained.registered if trained else get_version(client, spec.name, str(challenger), ctx.home)
    own = trained.fitted.scorer if trained else version.scorer(ctx.n_threads)
    acting = rival(ctx.home, version, client, audited=ctx.is_guarded)
    other = acting.scorer(ctx.n_threads) if acting else None
    prepared, unscorable = _ground(spec, ctx, way.prepare, trained, (own, other))
    if unscorable is not None:
        other = None
    rows = _later_rows(prepared, own, other) if other else _later_rows(prepared, own)
    number = acting.number if acting else None
    enough = way.enough(spec, prepared, rows)
    if not enough.passed:
        verdict = Verdict(spec.name, version.number, "insufficient", [enough], number, False, len(rows))
    else:
        why = f"champion {number} cannot be scored any more ({unscorable})" if unscorable else "there is no champion"
        ground = _judged(prepared, own, rows)
        gates, is_better = way.gates(spec, ground, version, own, Versus(other, number, why))
        status: Status = "passed" if all(gate.passed for gate in gates) else "failed"
        verdict = Verdict(spec.name, version.number, status, [enough, *gates], number, is_better, len(rows))
    cutoffs = {version.number: _cut(own).as_json()}
    if other is not None and number is not None:
        cutoffs[number] = _cut(other).as_json()
    return record(client, spec, ctx, version, replace(verdict, cutoffs=cutoffs))


def _judged(prepared: Prepared, own: Scorer, rows: Array) -> Prepared:
    """The rows with those that are judged as the hold-out."""
    known = np.flatnonzero(prepared.labels.known)
    development = known[np.isin(known, rows, invert=True)]
    return replace(prepared, split=Split(development, rows, _cut(own), []))


def enough_rows(spec: PredictiveSpec, prepared: Prepared, rows: Array) -> Gate:
    """Whether the hold-out can tell at all; see `Judging`."""
    return holdout_gate(spec, prepared.labels.y[rows], prepared.order.group[rows], prepared.has_group)


def predictive_gates(
    spec: PredictiveSpec, ground: Prepared, version: Version, own: Scorer, versus: Versus
) -> tuple[list[Gate], bool]:
    """The gates of predictive models; see `Judging`."""
    rows = ground.split.holdout
    evaluation = evaluate(spec, ground, own, rows)
    is_better = False
    if versus.scorer is not None:
        against, is_better, reference = _compare(
            spec, ground, evaluation.outputs, answer(spec, ground, versus.scorer, rows), str(versus.number)
        )
    else:
        against = versus.alone
        reference = row_loss(spec, evaluation.outputs.y, evaluation.baselines[evaluation.best_baseline])
    return _gates(spec, ground, evaluation, version.tags, (against, reference)), is_better
