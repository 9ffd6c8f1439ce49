"""FLAML on the rows that `prepare.py` wrote, with the seconds of the processor that ours took. Knows nothing of ours.

Run by `make peer` in the peer's own environment: peer.py FOLDER RESULTS.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from flaml import AutoML
from sklearn.metrics import average_precision_score, f1_score

NOTE = (
    "The columns are those that our family sees, the splits the same, one thread. FLAML gets the seconds of the "
    "processor that ours took (its own budget is by the clock, so it begins again from its best until they are spent); "
    "its metric is F1 for classes and RMSE for numbers, its validation cross-validation in three folds, by group where "
    "there is one. *draws*: how many splits or seeds the means are over, the same ones for both."
)
ENOUGH = 0.9  # share of the budget from which another round would not be worth its start


def learn(x: pd.DataFrame, y: np.ndarray[Any, Any], groups: Any, about: dict[str, Any]) -> tuple[AutoML, float]:
    """The best of as many rounds as fit into the seconds of the processor, and the seconds."""
    is_class = about["task"] == "binary"
    settings: dict[str, Any] = {
        "task": "classification" if is_class else "regression",
        "metric": "f1" if is_class else "rmse",
        "eval_method": "cv",
        "n_splits": 3,
        "n_jobs": 1,
        "seed": about["seed"],
        "verbose": 0,
    }
    if groups is not None:
        settings |= {"split_type": "group", "groups": groups}
    begun = time.process_time()
    best, start, patience = None, None, 1.0
    while best is None or time.process_time() - begun < ENOUGH * about["cpu_s"]:
        tried = AutoML()
        left = max(1.0, about["cpu_s"] - (time.process_time() - begun))
        tried.fit(x, y, time_budget=patience * left, starting_points=start or "static", **settings)
        if not np.isfinite(tried.best_loss):
            patience *= 2  # not one model within the budget: it gets one, whatever that costs
            continue
        start = {name: config for name, config in tried.best_config_per_estimator.items() if config}
        best = tried if best is None or tried.best_loss < best.best_loss else best
    return best, time.process_time() - begun


def figures(model: AutoML, rows: pd.DataFrame, x: pd.DataFrame, about: dict[str, Any]) -> dict[str, float]:
    """All figures that ours are asked for, by their names."""
    if about["task"] == "binary":
        chance = model.predict_proba(x)[:, 1]
        y = rows["__y"].to_numpy()
        return {"f1": f1_score(y, chance >= 0.5), "average_precision": average_precision_score(y, chance)}
    found = {}
    value = np.asarray(model.predict(x), dtype=float)
    for part in sorted(set(rows["__part"])):
        own = (rows["__part"] == part).to_numpy()
        error, raw = value[own] - rows["__y"].to_numpy()[own], value[own] - rows["__raw"].to_numpy(dtype=float)[own]
        cost = np.where(raw < 0, np.exp(-raw / 13), np.exp(raw / 10)) - 1
        found |= {
            f"rmse {part}": float(np.sqrt(np.mean(error**2))),
            f"rmse_uncapped {part}": float(np.sqrt(np.mean(raw**2))),
            f"nasa_score {part}": float(cost.sum()),
            f"percent_error {part}": float(
                100 * np.mean(np.abs(raw) / np.abs(rows["__raw"].to_numpy(dtype=float)[own]))
            ),
        }
    return found


def one(folder: Path) -> tuple[dict[str, Any], dict[str, float], float, str]:
    """One draw: what it is, its figures, seconds and learner."""
    about = json.loads((folder / "work.json").read_text(encoding="utf-8"))
    rows = pd.read_parquet(folder / "rows.parquet")
    x = rows[[name for name in rows.columns if not name.startswith("__")]].copy()
    x.columns = [f"f{place}" for place in range(x.shape[1])]  # boosters refuse some signs in names
    for name in x.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in x.dtypes]]:
        x[name] = x[name].astype("category")
    learnt = (rows["__part"] == "learnt").to_numpy()
    groups = rows["__group"].to_numpy()[learnt] if about["is_grouped"] else None
    model, seconds = learn(x[learnt], rows["__y"].to_numpy()[learnt], groups, about)
    return about, figures(model, rows[~learnt], x[~learnt], about), seconds, str(model.best_estimator)


def main(folder: Path, results: Path) -> None:
    """Run every draw, and write a row per data set, table and figure."""
    kept: dict[tuple[str, str], list[tuple[dict[str, Any], dict[str, float], float, str]]] = {}
    for place in sorted(each for each in folder.iterdir() if (each / "work.json").is_file()):
        found = one(place)
        print(place.name, {name: round(value, 4) for name, value in found[1].items()}, f"{found[2]:.0f} s", flush=True)
        kept.setdefault((found[0]["data"], found[0]["learnt_from"]), []).append(found)
    rows = [
        {
            "data": data,
            "metric": metric,
            "learnt_from": learnt_from,
            "values": [each[1][metric] for each in draws],
            "cpu_s": float(np.mean([each[2] for each in draws])),
            "chosen": ", ".join(sorted({each[3] for each in draws})),
        }
        for (data, learnt_from), draws in kept.items()
        for metric in draws[0][0]["figures"]
    ]
    told = {"name": f"FLAML {version('flaml')}", "note": NOTE, "rows": rows}
    results.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
