"""Training a forecast: development rows learnt, rolling origins judged, challenger registered."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from models.context import ModelContext
from models.evaluation.bootstrap import Interval
from models.forecast import runtime
from models.forecast.baselines import ETS, SEASONAL_NAIVE, exponential_smoothing
from models.forecast.evaluate import Evaluation, evaluate
from models.forecast.learn import Learnt, cut_of, development, hold_out, learn
from models.forecast.loss import weighted_quantile_loss
from models.forecast.panel import Panel, read_panel
from models.forecast.picture import draw
from models.forecast.spec import ForecastSpec
from models.forecast.windows import BASES, Windows
from models.registry.candidate import Candidate, Kind, register_candidate
from models.registry.client import open_client
from models.registry.figures import BEST_BASELINE
from models.registry.run import training_run
from models.registry.versions import Version


@dataclass
class TrainedForecast:
    """A registered challenger; the fields are those of `models.families.Trained`, and what judging would read again."""

    version: str
    run_id: str
    trials: int
    rows_development: int
    rows_holdout: int
    metrics: dict[str, Interval]
    baselines: dict[str, float]
    seconds: dict[str, float]
    notes: list[str]
    registered: Version = field(repr=False)
    panel: Panel = field(repr=False)
    scorer: runtime.Scorer = field(repr=False)
    library: str = "lightgbm"
    primary: str = "wql"
    best_baseline: str = SEASONAL_NAIVE


def train(spec: ForecastSpec, ctx: ModelContext) -> TrainedForecast:
    """Learn from what was known before the cut, judge on rolling origins after it, log and register a challenger.

    Args:
        spec: the solution.
        ctx: snapshot, moment and registry.

    Returns:
        The registered challenger with its figures. Nothing is promoted.

    Raises:
        NotYetError: there is too little past to learn from.
        CellworksError: MLflow does not answer, or the table is no regular series.
    """
    client = open_client(ctx)
    # Nothing is searched for that a refit would start from: every training is whole.
    ctx = ctx.with_mode("search")
    with training_run(client, spec, ctx) as run:
        begun = time.perf_counter()
        panel = read_panel(spec, ctx)
        cut = cut_of(spec, panel)
        past = development(spec, panel, cut)
        read_s = time.perf_counter() - begun
        learnt = learn(spec, ctx, panel, past, cut)
        learnt.scorer.bundle["record"] = {"cut_s": float(panel.begin_s[cut]), "columns": list(panel.further)}
        fit_s = time.perf_counter() - begun - read_s
        found = _judged(spec, panel, cut, past, learnt)
        judged_s = time.perf_counter() - begun - read_s - fit_s
        version = register_candidate(run, spec, ctx, _candidate(spec, panel, past, learnt, found))
        return TrainedForecast(
            version=version.number,
            run_id=run.run_id,
            trials=len(learnt.trials),
            rows_development=learnt.rows,
            rows_holdout=len(found.rows),
            metrics=found.metrics,
            baselines=found.baselines,
            seconds={"read": read_s, "fit": fit_s, "judge": judged_s, "total": time.perf_counter() - begun},
            notes=learnt.notes,
            registered=version,
            panel=panel,
            scorer=learnt.scorer,
        )


def _judged(spec: ForecastSpec, panel: Panel, cut: int, past: Windows, learnt: Learnt) -> Evaluation:
    """Figures on the hold-out, with exponential smoothing beside."""
    rows = hold_out(spec, panel, cut)
    found = evaluate(spec, learnt.scorer, past, rows)
    smooth = exponential_smoothing(spec, panel, cut, past, rows)
    if smooth is not None:
        levels = np.asarray(spec.quantiles)
        found.baselines[ETS] = weighted_quantile_loss(rows.y, smooth, levels)(np.ones(len(rows)))
    return found


def _candidate(spec: ForecastSpec, panel: Panel, past: Windows, learnt: Learnt, found: Evaluation) -> Candidate:
    scorer = learnt.scorer
    numbers = [*scorer.bundle["features"], *BASES, runtime.SPREAD]
    inputs: dict[str, Kind] = {runtime.SERIES: "string", **dict.fromkeys(numbers, "double")}

    def write(folder: Path) -> None:
        (folder / "bundle.json").write_text(json.dumps(scorer.bundle), encoding="utf-8")
        for name, native in zip(scorer.bundle["boosters"], scorer.natives, strict=True):
            native.save_model(str(folder / name))

    return Candidate(
        kind="forecast",
        library="lightgbm",
        needs=("lightgbm",),
        digest=panel.digest,
        rows=(panel.rows, len(past) + len(found.rows)),
        columns={
            "target": spec.target,
            "series": spec.series,
            "time": spec.time,
            "features": scorer.bundle["features"],
        },
        inputs=inputs,
        outputs={"value": "double", "low": "double", "high": "double"},
        example=_example(past, inputs),
        runtime=(Path(runtime.__file__),),
        write=write,
        draw=lambda folder: draw(spec, panel, found, folder),
        params={
            "base": scorer.bundle["base"],
            "horizon": spec.horizon,
            "season": spec.season,
            "series": len(panel.names),
            "features": len(scorer.bundle["features"]),
            "rows_development": len(past),
            "rows_holdout": len(found.rows),
            "seed": spec.seed,
        },
        metrics=found.metrics,
        values={f"baseline_{name}": value for name, value in found.baselines.items()},
        card=lambda marks: _card(spec, panel, learnt, found, marks),
        tags={BEST_BASELINE: SEASONAL_NAIVE},
        tables={"trials.json": {name: [trial[name] for trial in learnt.trials] for name in learnt.trials[0]}},
    )


def _example(past: Windows, inputs: Mapping[str, Kind]) -> pa.Table:
    table = past.table.slice(0, 3)
    kinds = {"string": pa.string(), "double": pa.float64()}
    return pa.table({name: table.column(name).cast(kinds[kind]) for name, kind in inputs.items()})


def _card(spec: ForecastSpec, panel: Panel, learnt: Learnt, found: Evaluation, marks: Mapping[str, str]) -> str:
    """The model card."""
    told = [
        f"| {name} | {each.value:.4g} | {each.low:.4g} to {each.high:.4g} |" for name, each in found.metrics.items()
    ]
    unit = f" in {spec.unit}" if spec.unit else ""
    reach = f"{spec.horizon} steps of {spec.step_h:g} h ahead, season of {spec.season} steps"
    levels = ", ".join(f"{level:g}" for level in spec.quantiles)
    others = [f"| {name} | {value:.4g} |" for name, value in found.baselines.items()]
    lines = [
        f"# {spec.solution}",
        "",
        spec.question,
        *(["", spec.description] if spec.description else []),
        "",
        f"- owner: {spec.owner or 'not named'}; entity: {spec.entity}",
        f"- {spec.target}{unit} of {len(panel.names)} series, {reach}",
        f"- quantiles {levels}: intervals promise {100 * spec.nominal_coverage:.0f} %",
        *(f"- {key}: {value}" for key, value in marks.items()),
        "",
        "## Figures on rolling origins after the cut",
        "",
        "| metric | value | 95 % interval over seasons |",
        "| --- | --- | --- |",
        *told,
        "",
        "| baseline | weighted quantile loss |",
        "| --- | --- |",
        *others,
        "",
        "## Limits",
        "",
        "It goes on with what it has seen: what never happened before is in no interval.",
        *(f"- {note}" for note in learnt.notes),
        "",
    ]
    return "\n".join(lines)
