"""The forecast that travels with its bundle: rows of what was known in, value and interval out.

Nothing of this project is imported here: a copy of this very file lies beside `bundle.json` and the three boosters in
every logged model, so that learning, scoring and the MLflow pyfunc answer with the same lines. A row is a series, the
moment of the forecast and how many steps ahead; the boosters, one for each quantile, answer in spreads from a base.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

FORMAT = 1
Array = npt.NDArray[Any]
SERIES, AHEAD, SPREAD = "series", "steps_ahead", "spread"
"""Columns of every row: text of the series, 1 for the step that begins now, and the target's own spread."""


class Native(Protocol):
    """A booster of LightGBM."""

    def predict(self, data: Array, *, num_threads: int) -> Array:
        """Rows to values."""

    def save_model(self, filename: str) -> Any:
        """Write the native format."""


class Scorer:
    """A loaded bundle.

    Args:
        bundle: content of `bundle.json`: features, series, base, quantiles, widths by step ahead, floor.
        natives: a booster for each quantile, low to high.
        n_threads: threads of a prediction.
    """

    def __init__(self, bundle: dict[str, Any], natives: list[Native], n_threads: int = 1) -> None:
        if bundle["format"] != FORMAT:
            raise ValueError(f"forecast format {bundle['format']}, this runtime reads {FORMAT}")
        self.bundle = bundle
        self.natives = natives
        self.n_threads = n_threads

    @classmethod
    def load(cls, folder: Path, n_threads: int = 1) -> Scorer:
        """Read a bundle's folder."""
        import lightgbm

        bundle = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        natives = [lightgbm.Booster(model_file=str(folder / name)) for name in bundle["boosters"]]
        return cls(bundle, natives, n_threads)

    def matrix(self, table: pa.Table) -> Array:
        """The matrix that boosters see: the code of the series, then the numbers; float32, missing as NaN.

        Raises:
            KeyError: a column is missing.
        """
        names: list[str] = self.bundle["features"]
        lost = [name for name in (SERIES, *names) if name not in table.column_names]
        if lost:
            raise KeyError(f"columns missing for this forecast: {', '.join(lost[:10])}")
        out = np.empty((table.num_rows, len(names) + 1), dtype=np.float32)
        code = pc.index_in(table.column(SERIES), value_set=pa.array(self.bundle["series"], pa.string()))
        out[:, 0] = code.cast(pa.float32()).to_numpy()
        for place, name in enumerate(names, 1):
            out[:, place] = pc.cast(table.column(name), pa.float32(), safe=False).to_numpy()
        out[np.isinf(out)] = np.nan
        return out

    def base(self, table: pa.Table) -> tuple[Array, Array]:
        """What each row is counted from, and its spread, in the target's unit."""
        columns = (self.bundle["base"], SPREAD)
        base, spread = (np.asarray(table.column(name).to_numpy(), dtype=np.float64) for name in columns)
        return base, spread

    def raw(self, table: pa.Table) -> Array:
        """Quantiles in spreads from the base, before widening: (rows, quantiles), rising."""
        x = self.matrix(table)
        each = [native.predict(x, num_threads=self.n_threads) for native in self.natives]
        return np.sort(np.column_stack(each), axis=1)

    def finish(self, raw: Array, table: pa.Table) -> dict[str, Array]:
        """Raw quantiles to `value`, `low` and `high` in the target's unit, widened as learnt for each step ahead."""
        base, spread = self.base(table)
        low, high = (raw[:, place] for place in (0, -1))
        below, above = (self.by_step(table, name) for name in ("below", "above"))
        answers = {
            "value": raw[:, 1],
            "low": np.minimum(low - below, raw[:, 1]),
            "high": np.maximum(high + above, raw[:, 1]),
        }
        floor = -np.inf if self.bundle["floor"] is None else self.bundle["floor"]
        return {name: np.maximum(base + spread * each, floor) for name, each in answers.items()}

    def by_step(self, table: pa.Table, name: str) -> Array:
        """A learnt figure of each row's steps ahead; that of the last one beyond the horizon."""
        figures = np.asarray(self.bundle[name], dtype=np.float64)
        ahead = np.asarray(table.column(AHEAD).to_numpy()).astype(int)
        return np.asarray(figures[np.clip(ahead - 1, 0, len(figures) - 1)])

    def predict(self, table: pa.Table) -> dict[str, Array]:
        """A table with the bundle's columns to the columns of `finish`."""
        return self.finish(self.raw(table), table)
