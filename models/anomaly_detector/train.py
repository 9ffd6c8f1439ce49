"""Training a detector: reference learnt, later rows judged, challenger registered."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from models.anomaly_detector import runtime, streams
from models.anomaly_detector.detector import learn
from models.anomaly_detector.evaluate import Evaluation, evaluate
from models.anomaly_detector.ground import Rows, cut_of, read_events, read_rows
from models.anomaly_detector.spec import AnomalySpec
from models.context import ModelContext
from models.drift.reference import MIN_ROWS, WATCHED, make_reference
from models.evaluation.bootstrap import Interval
from models.registry.candidate import Candidate, Kind, register_candidate
from models.registry.client import open_client
from models.registry.figures import BEST_BASELINE
from models.registry.run import training_run
from models.registry.versions import Version

SHEWHART = "shewhart"


@dataclass
class TrainedDetector:
    """A registered challenger; the fields are those of `models.families.Trained`, and what judging would read again."""

    version: str
    run_id: str
    rows_development: int
    rows_holdout: int
    metrics: dict[str, Interval]
    baselines: dict[str, float]
    seconds: dict[str, float]
    notes: list[str]
    registered: Version = field(repr=False)
    rows: Rows = field(repr=False)
    scorer: runtime.Scorer = field(repr=False)
    library: str = "scikit-learn"
    trials: int = 1
    primary: str = "faults_found"
    best_baseline: str = SHEWHART


def train(spec: AnomalySpec, ctx: ModelContext) -> TrainedDetector:
    """Learn from the reference, judge on the later rows, log and register a challenger.

    Args:
        spec: the solution.
        ctx: snapshot, moment and registry.

    Returns:
        The registered challenger with its figures. Nothing is promoted.

    Raises:
        NotYetError: there are too few rows to learn what is usual.
        CellworksError: MLflow does not answer, or the table cannot be watched.
    """
    client = open_client(ctx)
    # Nothing is searched for that a refit would start from: every training is whole.
    ctx = ctx.with_mode("search")
    with training_run(client, spec, ctx) as run:
        begun = time.perf_counter()
        rows = read_rows(spec, ctx)
        cut_s = cut_of(spec, rows)
        reference = rows.part(rows.time_s < cut_s)
        read_s = time.perf_counter() - begun
        bundle = learn(spec, reference)
        scorer = runtime.Scorer(bundle | {"record": {"cut_s": cut_s, "columns": rows.columns}})
        evaluation = evaluate(spec, rows, scorer, cut_s, read_events(spec, ctx))
        learnt_s = time.perf_counter() - begun
        version = register_candidate(run, spec, ctx, _candidate(spec, rows, scorer, evaluation))
        return TrainedDetector(
            version=version.number,
            run_id=run.run_id,
            rows_development=len(reference.time_s),
            rows_holdout=evaluation.rows,
            metrics=evaluation.metrics,
            baselines={SHEWHART: evaluation.shewhart_found},
            seconds={"read": read_s, "fit": learnt_s - read_s, "total": time.perf_counter() - begun},
            notes=_notes(spec, scorer),
            registered=version,
            rows=rows,
            scorer=scorer,
        )


def _notes(spec: AnomalySpec, scorer: runtime.Scorer) -> list[str]:
    """Windows that the reference is too short for, so that nobody takes silence for health."""
    if spec.series is None:
        return []
    parts, entities = scorer.bundle["parts"], scorer.bundle["entities"]
    silent = [name for name, fits in entities.items() if not any(fits)]
    waiting = [
        part["name"] for place, part in enumerate(parts) if all(fits[place] is None for fits in entities.values())
    ]
    notes = [f"not yet judged, for the reference is too short: {', '.join(waiting)}"] if waiting else []
    return notes + ([f"nothing is known yet of {', '.join(silent[:10])}"] if silent else [])


def _inputs(spec: AnomalySpec, rows: Rows) -> dict[str, Kind]:
    is_followed = spec.series is not None or spec.streams is not None
    followed: dict[str, Kind] = {runtime.ENTITY: "string", runtime.TIME: "double"} if is_followed else {}
    return followed | dict.fromkeys(rows.columns, "double")


def _candidate(spec: AnomalySpec, rows: Rows, scorer: runtime.Scorer, evaluation: Evaluation) -> Candidate:
    inputs = _inputs(spec, rows)
    bundle, cut_s = scorer.bundle, scorer.bundle["record"]["cut_s"]

    def write(folder: Path) -> None:
        (folder / "bundle.json").write_text(json.dumps(bundle), encoding="utf-8")
        (folder / "reference.json").write_text(json.dumps(_reference(rows, cut_s, evaluation)), encoding="utf-8")

    values = {f"baseline_{SHEWHART}": evaluation.shewhart_found, "limit": float(bundle["limit"])}
    return Candidate(
        kind=bundle["kind"],
        library="scikit-learn",
        needs=(),
        digest=rows.digest,
        rows=(len(rows.time_s), len(rows.time_s)),
        columns={"watched": rows.columns, "time": spec.time},
        inputs=inputs,
        outputs={"value": "double"},
        example=rows.table.slice(0, 3).select(list(inputs)),
        runtime=(Path(runtime.__file__), Path(streams.__file__)),
        write=write,
        draw=partial(_draw, rows, evaluation),
        params={
            "method": bundle.get("method", "windows"),
            "per_week": spec.alarms.per_week,
            "hold_off_h": spec.alarms.hold_off_h,
            "watched": len(rows.columns),
            "rows_development": int(np.count_nonzero(rows.time_s < cut_s)),
            "rows_holdout": evaluation.rows,
            "seed": spec.seed,
        },
        metrics=evaluation.metrics,
        values=values,
        card=partial(_card, spec, rows, scorer, evaluation),
        tags={BEST_BASELINE: SHEWHART},
    )


def _reference(rows: Rows, cut_s: float, evaluation: Evaluation) -> dict[str, Any]:
    """What numbers and scores looked like, for drift; alike shares, for no number is more watched than another."""
    watched = rows.columns[:WATCHED]
    x = runtime.numbers(rows.table.filter(pa.array(rows.time_s < cut_s)), watched)
    features = [{"name": name, "kind": "number"} for name in watched]
    value = evaluation.value[np.isfinite(evaluation.value)]
    scores = value if len(value) >= MIN_ROWS else np.zeros(0)
    return make_reference(features, x, scores, dict.fromkeys(watched, 1.0 / len(watched)), in_order=True)


def _draw(rows: Rows, evaluation: Evaluation, folder: Path) -> None:
    """Score over its limit through the later part."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    known = np.isfinite(evaluation.value)
    figure = Figure(figsize=(8, 3), dpi=90)
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    axis.plot(rows.event_at[known], evaluation.value[known], ".", markersize=2)
    axis.axhline(1.0, linestyle="--", linewidth=1)
    axis.set_ylabel("score / limit")
    axis.set_title("later rows")
    (folder / "plots").mkdir()
    figure.tight_layout()
    figure.savefig(folder / "plots" / "score.png", metadata={"Software": None})


def _card(
    spec: AnomalySpec, rows: Rows, scorer: runtime.Scorer, evaluation: Evaluation, marks: Mapping[str, str]
) -> str:
    """The model card."""
    bundle = scorer.bundle
    told = [
        f"| {name} | {each.value:.4g} | {each.low:.4g} to {each.high:.4g} |"
        for name, each in evaluation.metrics.items()
    ]
    how = "forecasts from each entity's own past" if bundle["kind"] == "series" else f"method {bundle['method']}"
    lines = [
        f"# {spec.solution}",
        "",
        spec.question,
        *(["", spec.description] if spec.description else []),
        "",
        f"- owner: {spec.owner or 'not named'}; entity: {spec.entity}; acts at: {spec.acts_at or 'any time'}",
        f"- watches {', '.join(rows.columns)}: {how}",
        f"- budget: {spec.alarms.per_week:g} alarms a week, hold-off {spec.alarms.hold_off_h:g} h",
        *(f"- {key}: {value}" for key, value in marks.items()),
        "",
        "## Figures on the later rows",
        "",
        "| metric | value | 95 % interval |",
        "| --- | --- | --- |",
        *told,
        "",
        f"A Shewhart chart with the same budget finds {100 * evaluation.shewhart_found:.0f} % of the faults put in.",
        "",
        "## Limits",
        "",
        "It tells what is unusual, not what is wrong; what was always so is usual. Reasons are no causes.",
        *(f"- {note}" for note in _notes(spec, scorer)),
        "",
    ]
    return "\n".join(lines)
