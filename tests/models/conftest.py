"""Small tables with lots, times and label delays, and a home whose MLflow is ready (copied, not migrated each time)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.context import ModelContext
from models.registry.client import open_at
from models.spec import PredictiveSpec
from pipelines.lake.home import Home

START = np.datetime64("2026-01-01T00:00:00", "us")


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow SQLite file with all migrations done."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.sqlite"
    open_at(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def make_home(mlflow_template: Path) -> Callable[[Path], Home]:
    """Makes a fresh instance below a folder."""

    def make(folder: Path) -> Home:
        made = Home(folder / "home").ensure()
        target = Path(made.stores.mlflow_uri.removeprefix("sqlite:///"))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(mlflow_template, target)
        return made

    return make


@pytest.fixture
def home(tmp_path: Path, make_home: Callable[[Path], Home]) -> Home:
    """A fresh instance."""
    return make_home(tmp_path)


@pytest.fixture
def own_ctx(home: Home) -> ModelContext:
    """A context over files in a fresh instance, where `ctx` is shared."""
    return ModelContext(home, n_threads=1)


@pytest.fixture
def ctx(home: Home) -> ModelContext:
    """A context over files."""
    return ModelContext(home, n_threads=1)


def make_cells(rows: int = 1600, seed: int = 0, days: float = 30.0, noise: float = 0.6) -> dict[str, Any]:
    """Rows of 40 lots over some days: three true causes, noise columns, a category, a constant, holes, late labels."""
    rng = np.random.default_rng(seed)
    lot = np.arange(rows) * 40 // rows
    time = START + (np.arange(rows) * days * 86_400_000_000 / rows).astype("timedelta64[us]")
    x = rng.normal(size=(rows, 5)).astype(np.float64)
    material = rng.choice(["lfp_a", "lfp_b", "lfp_c"], rows)
    effect = np.where(material == "lfp_b", 0.8, 0.0) + rng.normal(0, 0.3, 40)[lot]
    signal = 1.2 * x[:, 0] + 0.8 * x[:, 1] * (x[:, 2] > 0) + effect
    value = signal + rng.normal(0, noise, rows)
    holes = np.where(rng.random(rows) < 0.1, np.nan, x[:, 3])
    return {
        "cell_id": np.asarray([f"C{number:06d}" for number in range(rows)]),
        "lot_id": np.asarray([f"L{number:03d}" for number in lot]),
        "started_at": time,
        "label_known_at": time + np.timedelta64(20, "h"),
        "shift_code": np.where(np.arange(rows) % 3 == 0, "N", "D"),
        "a_mm": x[:, 0],
        "b_um": x[:, 1],
        "c_c": x[:, 2],
        "d_pct": holes,
        "e_v": x[:, 4],
        "material_code": material,
        "constant": np.ones(rows),
        "empty": pa.nulls(rows, pa.float64()),
        "capacity_ah": 1175 + 10 * value,
        "is_premium": value < 1.0,
        "grade_code": np.asarray(["A", "B", "C"])[np.digitize(value, [0.0, 1.5])],
    }


LABELS = ("capacity_ah", "is_premium", "grade_code")
TARGETS = {
    "regression": {"column": "capacity_ah", "unit": "Ah"},
    "quantile": {"column": "capacity_ah", "unit": "Ah"},
    "binary": {"column": "is_premium", "positive": False},
    "multiclass": {"column": "grade_code"},
}


def make_solution(table: str, task: str = "binary", **changes: Any) -> PredictiveSpec:
    """A solution over such rows with a tiny search."""
    others = [name for name in LABELS if name != TARGETS[task]["column"]]
    content: dict[str, Any] = {
        "stage": "finishing",
        "slug": "cells",
        "question": "How will the cell end?",
        "entity": "cell",
        "table": table,
        "keys": ["cell_id"],
        "features": {"exclude": [*others, "shift_code"]},
        "target": TARGETS[task] | {"known_at": "label_known_at", "delay_h": 20},
        "task": task,
        "split": {"time": "started_at", "group": "lot_id"},
        "search": {"trials": 3, "refit_trials": 1, "max_rounds": 60, "early_stopping_rounds": 10},
        "explain": {"rows": "acting", "sample_rows": 20},
    }
    return PredictiveSpec(**(content | changes))


@pytest.fixture
def table_file(tmp_path: Path) -> Callable[..., str]:
    """Writes columns to a Parquet file and returns its path."""

    def write(columns: dict[str, Any], name: str = "cells.parquet") -> str:
        pq.write_table(pa.table(columns), tmp_path / name)
        return str(tmp_path / name)

    return write


@pytest.fixture(scope="session")
def cells() -> Callable[..., dict[str, Any]]:
    """See `make_cells`."""
    return make_cells


@pytest.fixture(scope="session")
def solution() -> Callable[..., PredictiveSpec]:
    """See `make_solution`."""
    return make_solution


@pytest.fixture
def later() -> datetime:
    """A moment at which every label is known."""
    return datetime(2026, 3, 1)  # noqa: DTZ001 - the plant's times are naive UTC
