"""The monitor that travels with its bundle: table in, statistics and alarms out. Nothing of this project is imported.

A copy of this very file lies in every logged model, so that learning, scoring and the MLflow pyfunc compute the same
statistics with the same lines. A bundle is one file, `bundle.json`: how rows follow each other, the limits' rule, and
one reference for all rows or one for each group: mean and scale of each variable, loadings, variances, limits.

T2 measures how far a row lies from the centre along the directions in which the reference varies, SPE how far it lies
off them. Dynamic PCA (Ku, Storer, Georgakis, Chemom. Intell. Lab. Syst. 30 (1995) 179) sets a row's last rows beside
it. Charts watch each variable by itself: single values, EWMA, CUSUM, run rules. Both look back on a bounded number of
rows, so that a row's answer is the same whenever it is scored and whatever is scored with it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .charts import MEMORY, Charts  # noqa: TID252 - this file and that one lie beside each other in every bundle too

FORMAT = 1
Array = npt.NDArray[Any]
STATISTICS = ("t2", "spe", "combined", "shewhart")
"""What has a limit: the combined one is the larger of T2 and SPE, each over its limit; the Shewhart one is the largest
deviation of one variable alone, which is what a chart per variable sees, and never acts."""
_MOST_MISSING = 0.5  # a row with more of its variables missing is not judged
_BY_RULE = 1.000001  # where a rule signals: over the limit, whatever the statistics say


def column_numbers(table: pa.Table, names: list[str]) -> Array:
    """Columns of numbers as float64 (rows, columns); missing and infinite as NaN.

    Raises:
        KeyError: a column is missing.
    """
    lost = [name for name in names if name not in table.column_names]
    if lost:
        raise KeyError(f"columns missing for this monitor: {', '.join(lost[:10])}")
    out = np.empty((table.num_rows, len(names)))
    for place, name in enumerate(names):
        column = pc.cast(table.column(name), pa.float64(), safe=False)
        out[:, place] = column.to_numpy()
    out[np.isinf(out)] = np.nan
    return out


def follow(group: Array, time: Array, max_gap_s: float | None) -> tuple[Array, Array]:
    """How rows follow each other.

    Args:
        group: number of each row's group.
        time: datetime64 or a number per row.
        max_gap_s: rows of a group further apart do not follow each other, in seconds (or in units of the number).

    Returns:
        The rows sorted by group and time, and how many rows each of them (in that order) has before it in its run.
    """
    order = np.lexsort((time, group))
    begins = np.ones(len(group), dtype=bool)
    begins[1:] = group[order][1:] != group[order][:-1]
    if max_gap_s is not None:
        step = np.diff(time[order])
        seconds = step / np.timedelta64(1, "s") if np.issubdtype(step.dtype, np.timedelta64) else step
        begins[1:] |= ~(seconds <= max_gap_s)
    first = np.maximum.accumulate(np.where(begins, np.arange(len(group)), 0))
    return order, np.arange(len(group)) - first


def groups_of(table: pa.Table, name: str | None) -> tuple[Array, list[str]]:
    """The number of each row's group and the groups' names; all rows are of one where no column is named."""
    if name is None:
        return np.zeros(table.num_rows, dtype=np.int64), [""]
    encoded = pc.fill_null(table.column(name).cast(pa.string()), "").combine_chunks().dictionary_encode()
    return np.asarray(encoded.indices.to_numpy()), encoded.dictionary.to_pylist()


def with_lags(z: Array, lags: int) -> Array:
    """Each row beside the `lags` rows above it: (rows, (lags + 1) * columns), newest first; rows wrap at the top."""
    return np.hstack([np.roll(z, lag, axis=0) for lag in range(lags + 1)])


def lowest_of_run(values: Array, before: Array, length: int) -> Array:
    """The smallest of each row's last `length` values: what a limit must lie below for all of them to be beyond it.

    Args:
        values: per row, in the order of `follow`.
        before: rows before each in its run.
        length: consecutive rows.

    Returns:
        NaN where the run is still shorter, or holds a row without a value.
    """
    out = values.copy()
    for step in range(1, length):
        out = np.minimum(out, np.roll(values, step))
    return np.where(before >= length - 1, out, np.nan)


class Reference:
    """What is usual: standardised variables, their principal directions, and the limits.

    Args:
        content: `mean` and `scale` per variable, `lags`, `loadings` (directions, (lags + 1) * variables), `variances`
            per direction, `limits` by statistic, and where variables are charted one by one `charts`.
    """

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        self.lags: int = content["lags"]
        self.mean = np.asarray(content["mean"])
        self.scale = np.asarray(content["scale"])
        self.loadings = np.asarray(content["loadings"])
        self.variances = np.asarray(content["variances"])
        self.limits: dict[str, float] = content.get("limits", {})
        self.charts = Charts(content["charts"]) if content.get("charts") else None

    def design(self, x: Array) -> Array:
        """Variables (rows, variables) to standardised rows with lags; what is missing counts as usual."""
        return with_lags(np.nan_to_num((x - self.mean) / self.scale, nan=0.0), self.lags)

    def judged(self, x: Array, before: Array) -> Array:
        """Rows with enough rows before them and not too much missing in any of these."""
        few = lowest_of_run(-np.isnan(x).mean(axis=1), before, self.lags + 1)
        return np.asarray(few >= -_MOST_MISSING)

    def measure(self, x: Array, before: Array) -> dict[str, Array]:
        """T2, SPE and the largest deviation of one variable for each row; NaN where a row is not judged."""
        z = self.design(x)
        scores = z @ self.loadings.T
        t2 = (scores**2 / self.variances).sum(axis=1)
        # By Pythagoras: the directions are orthonormal, and the residual itself is not needed.
        spe = np.maximum((z**2).sum(axis=1) - (scores**2).sum(axis=1), 0.0)
        out = {"t2": t2, "spe": spe, "shewhart": np.abs(z[:, : x.shape[1]]).max(axis=1)}
        if self.charts:
            out |= {kind: values.max(axis=1) for kind, values in self.charts.each(x, before).items()}
        judged = self.judged(x, before)
        return {name: np.where(judged, values, np.nan) for name, values in out.items()}

    def ratios(self, x: Array, before: Array) -> dict[str, Array]:
        """Each statistic over its limit for each row; beyond 1 is a signal."""
        out = {name: values / self.limits[name] for name, values in self.measure(x, before).items()}
        out["combined"] = np.maximum(out["t2"], out["spe"]) / self.limits["combined"]
        if self.charts:
            largest = np.maximum.reduce([out[kind] for kind in self.charts.kinds]) / self.limits["charts"]
            ruled = self.charts.ruled(x, before).any(axis=1)
            out["charts"] = np.where(ruled, np.maximum(largest, _BY_RULE), largest)
        return out

    def chart_shares(self, x: Array, before: Array) -> Array:
        """How much each variable's charts have to do with a row's, (rows, variables); each row adds up to 1."""
        if self.charts is None:
            raise ValueError("this reference has no charts")
        each = self.charts.each(x, before)
        largest = np.asarray(np.maximum.reduce([values / self.limits[kind] for kind, values in each.items()]))
        # A rule that signals is as good a reason as a statistic at its limit.
        largest[self.charts.ruled(x, before) & (largest < 1.0)] = 1.0
        return np.asarray(largest / np.maximum(largest.sum(axis=1, keepdims=True), 1e-300))

    def contributions(self, z: Array, statistic: str) -> Array:
        """How much each variable has to do with a row's statistic, (rows, variables); each row adds up to 1.

        Reconstruction-based (Alcala, Qin, Automatica 45 (2009) 1593): by how much the statistic falls when the
        variable takes the value that makes it least. The lags of a variable are added up.
        """
        kernel = np.zeros((z.shape[1], z.shape[1]))
        if statistic != "spe":
            kernel += (self.loadings.T / self.variances) @ self.loadings / self.limits["t2"]
        if statistic != "t2":
            kernel += (np.eye(z.shape[1]) - self.loadings.T @ self.loadings) / self.limits["spe"]
        fall = (z @ kernel) ** 2 / np.maximum(np.diag(kernel), 1e-12)
        summed = fall.reshape(len(z), self.lags + 1, z.shape[1] // (self.lags + 1)).sum(axis=1)
        return np.asarray(summed / np.maximum(summed.sum(axis=1, keepdims=True), 1e-300))


class Scorer:
    """A loaded bundle.

    Args:
        bundle: content of `bundle.json`.
    """

    def __init__(self, bundle: dict[str, Any]) -> None:
        if bundle["format"] != FORMAT:
            raise ValueError(f"monitor format {bundle['format']}, this runtime reads {FORMAT}")
        self.bundle = bundle
        self.references = {name: Reference(each) for name, each in bundle["references"].items()}

    @classmethod
    def load(cls, folder: Path, n_threads: int = 1) -> Scorer:  # noqa: ARG003 - same call for all families
        """Read a bundle's folder."""
        return cls(json.loads((folder / "bundle.json").read_text(encoding="utf-8")))

    @property
    def rows_before(self) -> int:
        """Rows before a row that its answer depends on."""
        reach = max(MEMORY if each.charts else each.lags for each in self.references.values())
        return int(reach + self.bundle["persistence"] - 1)

    def _order(self, table: pa.Table) -> tuple[Array, Array]:
        """See `follow`."""
        time = table.column(self.bundle["time"]).to_numpy()
        return follow(groups_of(table, self.bundle["group"])[0], time, self.bundle["max_gap_s"])

    def _members(self, table: pa.Table, order: Array) -> list[tuple[Reference, Array]]:
        """Each reference with the places in the order that it is for; a group without a reference has none."""
        if not self.bundle["is_by_group"]:
            return [(self.references[""], np.arange(len(order)))]
        codes, names = groups_of(table, self.bundle["group"])
        known = [(self.references[name], code) for code, name in enumerate(names) if name in self.references]
        return [(reference, np.flatnonzero(codes[order] == code)) for reference, code in known]

    def statistics(self, table: pa.Table) -> dict[str, Array]:
        """Each statistic over its limit per row of the table; NaN where a row is not judged."""
        order, before = self._order(table)
        x = column_numbers(table, self.bundle["features"])[order]
        charts = next(iter(self.references.values())).charts
        names = (*STATISTICS, *((*charts.kinds, "charts") if charts else ()))
        out = {name: np.full(len(x), np.nan) for name in names}
        for reference, rows in self._members(table, order):
            for name, values in reference.ratios(x[rows], before[rows]).items():
                out[name][order[rows]] = values
        return out

    def alarms(self, table: pa.Table, ratios: Array) -> Array:
        """Rows whose last `persistence` ratios are all beyond 1."""
        order, before = self._order(table)
        out = np.zeros(table.num_rows, dtype=bool)
        out[order] = lowest_of_run(ratios[order], before, self.bundle["persistence"]) > 1.0
        return out

    def predict(self, table: pa.Table) -> dict[str, Array]:
        """A table to `value` (the acting statistic over its limit), `class` (which leads) and `is_flagged` per row.

        Args:
            table: the variables, the time's column and the group's where the bundle names one, rows in any order. A
                row that has too few rows before it has no value.
        """
        ratios, acting = self.statistics(table), self.bundle["statistic"]
        value = ratios[acting]
        parts = [name for name in ratios if name in self._parts(acting)]
        largest = np.argmax([np.nan_to_num(ratios[name]) for name in parts], axis=0)
        leads = np.asarray(parts, dtype=object)[largest]
        if acting == "charts":
            leads[(value == _BY_RULE) & (ratios["charts"] > 1)] = "run rule"
        leads[np.isnan(value)] = None
        return {"value": value, "class": leads, "is_flagged": self.alarms(table, value)}

    def _parts(self, acting: str) -> tuple[str, ...]:
        """The statistics that an acting one is the largest of."""
        charts = next(iter(self.references.values())).charts
        return {"combined": ("t2", "spe"), "charts": tuple(charts.kinds) if charts else ()}.get(acting, (acting,))

    def contributions(self, table: pa.Table, chosen: Array) -> Array:
        """Share of each variable in the acting statistic of the chosen rows, (chosen, variables); NaN if unjudged."""
        order, before = self._order(table)
        x = column_numbers(table, self.bundle["features"])[order]
        place = np.full(len(x), -1)
        place[chosen] = np.arange(len(chosen))
        out = np.full((len(chosen), x.shape[1]), np.nan)
        for reference, rows in self._members(table, order):
            wanted = (place[order[rows]] >= 0) & reference.judged(x[rows], before[rows])
            if self.bundle["statistic"] == "charts":
                shares = reference.chart_shares(x[rows], before[rows])[wanted]
            else:
                shares = reference.contributions(reference.design(x[rows])[wanted], self.bundle["statistic"])
            out[place[order[rows[wanted]]]] = shares
        return out

    def reasons(self, table: pa.Table, chosen: Array, top_k: int) -> list[str | None]:
        """The `top_k` strongest contributions of each chosen row as JSON: feature, value, contribution (a share)."""
        shares = self.contributions(table, chosen)
        x = column_numbers(table, self.bundle["features"])[chosen]
        order = np.argsort(-shares, axis=1)[:, :top_k]
        return [
            None if np.isnan(shares[row, 0]) else json.dumps([self._reason(x[row, j], shares[row, j], j) for j in best])
            for row, best in enumerate(order)
        ]

    def _reason(self, value: float, share: float, place: int) -> dict[str, Any]:
        shown = None if np.isnan(value) else float(f"{value:.6g}")
        return {"feature": self.bundle["features"][place], "value": shown, "contribution": float(f"{share:.4g}")}
