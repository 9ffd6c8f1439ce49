"""How hard the twin's targets are: what varies, what can be learnt at all, and what an oracle reaches.

    .venv/bin/python tests/bench/twin_hardness.py docs/reference/twin-hardness.md

Nothing of the platform runs here: the figures come from the twin's causes, over five seeds, before any model.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from copy import copy
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import numpy as np
from sklearn.metrics import roc_auc_score

from pipelines.control_plan.site import Site, load_site
from pipelines.curation.plan_data import cost_data
from pipelines.twin.cells import Cells
from pipelines.twin.clock import HOUR
from pipelines.twin.equipment import Equipment
from pipelines.twin.interventions import Interventions
from pipelines.twin.rng import salt
from pipelines.twin.world import World

ROOT = Path(__file__).parents[2]
SEEDS = range(1, 6)
GROUPS = ("lot", "batch or roll", "machine or position", "cell", "gauge")
LATE_STEPS = ("formation", "degassing", "ageing", "grading")
BINS = 20
PAGE = "docs/reference/twin-hardness.md"


class Redrawn(World):
    """The plant of a seed in which the noise of some groups is drawn anew."""

    redrawn: Mapping[str, int] = MappingProxyType({})
    late: bool = False  # whether only what comes after formation entry is drawn anew

    def salt(self, name: str) -> int:
        code = name.split("@", maxsplit=1)[0].removeprefix("lost_")
        fresh = self.redrawn.get(self.group(name))
        if fresh is None or (self.late and not self.is_late(code)):
            return salt(self.seed, name)
        return salt(fresh, name)

    def group(self, name: str) -> str:
        code, _, kind = name.partition("@")
        if kind in ("machine", "drift", "calibration"):
            return "machine or position"
        if kind in ("gauge", "supplier"):
            return {"gauge": "gauge", "supplier": "lot"}[kind]
        row = self.site.plan.by_code.get(code)
        level = self.node(code).level or (self.level(row) if row else "cell")
        if level.startswith("lot:"):
            return "lot"
        return "batch or roll" if level.endswith(("_batch", "_roll", "_lane")) and level != "bake_batch" else "cell"

    def is_late(self, code: str) -> bool:
        row = self.site.plan.by_code.get(code)
        return code in ("formation", "grading") or (row is not None and row.step in LATE_STEPS)


_plants: dict[int, Redrawn] = {}


def redrawn(site: Site, seed: int, groups: dict[str, int], *, late: bool = False) -> Redrawn:
    if seed not in _plants:
        _plants[seed] = Redrawn(site, seed, "baseline", 1.0)
    world = copy(_plants[seed])
    world.redrawn, world.late = groups, late
    return world


def spread_cells(count: int) -> np.ndarray:
    """Cells so far apart that each has lots, batches and rolls of its own."""
    return np.arange(count) * 2_311


def outcomes(world: World, cells: np.ndarray) -> dict[str, np.ndarray]:
    """Of cells that enter formation: whether they miss premium, and the cost to come in US$ per kWh (mean tariff)."""
    lived = Cells(world, cells, np.zeros(len(cells)))
    cost, graded = cost_data(world.site), lived.graded()
    lost, grade = lived.lost("formation"), graded["grade_code"]
    is_missed = lost | (grade != "A")
    gathered = cost["gathered_usd_per_cell"]
    loss = np.select(
        [lost, grade == "A", grade == "B"],
        [gathered["formation"], 0.0, gathered["grading"] * (1 - cost["b_grade_value_ratio"])],
        gathered["grading"],
    )
    plan, usd = world.site.plan.by_code, loss
    for step, driver in cost["hours_drivers"].items():
        hours = world.shown(plan[driver["code"]], cells, {}, cells) / driver["nominal"]
        usd = usd + np.where(lost & (step != "formation"), 0.0, cost["activity_usd_per_cell"][step] * hours)
    missed_ah = graded["capacity_ah"] - 1175
    again = ~lost & (missed_ah < 0) & (missed_ah > -world.p("grading.retest_below_ah"))
    usd = usd + again * cost["retest_usd_per_cell"]
    return {"premium": is_missed.astype(float), "cost": usd / cost["nominal_energy_kwh"]}


def variance_parts(site: Site, seed: int, cells: np.ndarray) -> dict[str, dict[str, float]]:
    """Share of the outcome's variance that is gone when a group's noise is drawn anew, alone (its total effect)."""
    base = outcomes(redrawn(site, seed, {}), cells)
    found: dict[str, dict[str, float]] = {target: {} for target in base}
    for group in GROUPS:
        other = outcomes(redrawn(site, seed, {group: seed + 1000}), cells)
        for target, values in base.items():
            found[target][group] = 1 - float(np.corrcoef(values, other[target])[0, 1])
    return found


def oracle(site: Site, seed: int, cells: np.ndarray, draws: int, groups: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Mean outcome over redraws of what comes after formation entry in these groups: what could be known at best."""
    total: dict[str, np.ndarray] = {}
    for draw in range(draws):
        fresh = dict.fromkeys(groups, 10000 + 100 * seed + draw)
        for target, values in outcomes(redrawn(site, seed, fresh, late=True), cells).items():
            total[target] = total.get(target, 0.0) + values / draws
    return total


def explained(values: np.ndarray, by: np.ndarray) -> float:
    """Share of the variance between equally filled bins of a feature, less what chance gives that many bins."""
    edges = np.quantile(by, np.linspace(0, 1, BINS + 1)[1:-1])
    which = np.searchsorted(edges, by)
    means = {b: values[which == b].mean() for b in np.unique(which)}
    between = np.array([means[b] for b in which])
    share = float(np.var(between) / np.var(values))
    return max(0.0, share - (len(means) - 1) / len(values))


def best_feature(site: Site, seed: int, cells: np.ndarray, values: np.ndarray) -> tuple[str, float]:
    """The measured feature known at formation entry that explains most of a target."""
    world, memo = redrawn(site, seed, {}), {}
    rows = [row for row in site.plan.rows if row.code in world.graph.nodes and row.step not in LATE_STEPS]
    shares = {row.code: explained(values, world.shown(row, cells, memo, cells)) for row in rows}
    code = max(shares, key=shares.__getitem__)
    return code, shares[code]


def cell_figures(site: Site, seed: int, cells: np.ndarray, draws: int) -> dict[str, dict[str, object]]:
    """All figures of one seed, by target."""
    actual = outcomes(redrawn(site, seed, {}), cells)
    parts = variance_parts(site, seed, cells)
    entry = oracle(site, seed, cells, draws, GROUPS)
    knowing = oracle(site, seed, cells, draws, ("cell", "gauge"))
    found: dict[str, dict[str, object]] = {}
    for target, values in actual.items():
        # The covariance with a mean of independent redraws is the variance of the true expectation: no bias.
        learnable = float(np.cov(values, entry[target])[0, 1] / np.var(values))
        code, share = best_feature(site, seed, cells, values)
        found[target] = {
            "parts": parts[target],
            "learnable": learnable,
            "rmse_skill": 1 - np.sqrt(max(0.0, 1 - learnable)),
            "best_feature": code,
            "best_share": share / learnable,
            "auc": float(roc_auc_score(values > 0, entry[target])) if target == "premium" else None,
            "auc_machines_known": float(roc_auc_score(values > 0, knowing[target])) if target == "premium" else None,
        }
    found["premium"]["base_rate"] = float(actual["premium"].mean())
    return found


def failure_figures(site: Site, seed: int, days: int) -> dict[str, object]:
    """Failure within 24 h of a machine-hour: what warns, what a single signal tells, what an oracle reaches."""
    world = World(site, seed, "baseline", 1.0)
    equipment = Equipment(world, Interventions(world, []), until_s=world.clock.bounds(days)[1])
    health, lives = equipment.health(0, days - 1), equipment.truth(-150, days)
    hours = health["event_s"]
    due = np.empty(len(hours))
    is_warned = np.empty(len(hours), dtype=bool)
    age_h = np.empty(len(hours))
    for machine in np.unique(health["machine_id"]):
        mine = health["machine_id"] == machine
        life = equipment._lives[machine]
        now = np.searchsorted(life.ended_s, hours[mine], side="right")
        now = np.minimum(now, len(life.ended_s) - 1)
        due[mine], is_warned[mine] = life.due_s[now], life.is_warned[now]
        age_h[mine] = (hours[mine] - np.where(now > 0, life.until_s[now - 1], life.due_s[0] - 1e7)) / HOUR
    left_h = (due - hours) / HOUR
    label = ((left_h > 0) & (left_h <= 24)).astype(float)
    p = world.p
    hazard = np.maximum(age_h, 1.0) ** (p("equipment.life_shape") - 1)
    # With the true state: the warning as it is, and the age where nothing warns.
    warning = np.where(is_warned, np.clip(1 - left_h / p("equipment.warning_h"), 0, 1), 0)
    score = warning * 1e6 + hazard
    signals = {row.name: health[row.code] for row in site.plan.rows if row.feed == "historian__machine_hour"}
    learnable = _r2(label, score)
    shares = {name: explained(label, values) for name, values in signals.items()}
    best = max(shares, key=shares.__getitem__)
    within = {"machine": _between(signals[best], health["machine_id"]), "warning": _r2(signals[best], warning)}
    return {
        "failures": int(lives["is_failure"].sum()),
        "warned": float(lives["is_warned"].mean()),
        "base_rate": float(label.mean()),
        "auc": float(roc_auc_score(label, score)),
        "best_feature": best,
        "best_share": shares[best] / learnable,
        "best_auc": float(roc_auc_score(label, signals[best])),
        "parts": within | {"hour and gauge": 1 - within["machine"] - within["warning"]},
    }


def _r2(values: np.ndarray, score: np.ndarray) -> float:
    return explained(values, score + 1e-9 * np.arange(len(score)))


def _between(values: np.ndarray, machines: np.ndarray) -> float:
    _, which = np.unique(machines, return_inverse=True)
    means = np.bincount(which, values) / np.bincount(which)
    return float(np.var(means[which]) / np.var(values))


def page(seeds: list[dict], failures: list[dict], count: int, draws: int, days: int) -> str:
    """The figures of all seeds as a page."""
    lines = [
        "# How hard the twin is",
        "",
        f"Measured on {datetime.now(UTC):%Y-%m-%d} over seeds {SEEDS[0]} to {SEEDS[-1]} with",
        f"`.venv/bin/python tests/bench/twin_hardness.py {PAGE}`, from the twin's causes alone:",
        f"{count:,} cells, each of other lots and rolls, {draws} redraws of what comes after formation entry,",
        f"{days} days of machines. No model was trained for these figures. Mean over the seeds, lowest and highest in",
        "brackets.",
        "",
        "| figure | not premium, at formation entry | cost to come, at formation entry |",
        "| --- | --- | --- |",
    ]
    for group in GROUPS:
        row = [_span([seed[t]["parts"][group] for seed in seeds]) for t in ("premium", "cost")]
        lines.append(f"| variance that hangs on {group} (total effect; they overlap) | {row[0]} | {row[1]} |")
    for name, title in (
        ("learnable", "variance that can be learnt at all: explained by all true causes up to formation entry"),
        ("rmse_skill", "the same as RMSE skill over a constant"),
        ("best_share", "of that, what the best single measured feature explains"),
    ):
        row = [_span([seed[t][name] for seed in seeds]) for t in ("premium", "cost")]
        lines.append(f"| {title} | {row[0]} | {row[1]} |")
    for name, title in (
        ("base_rate", "share of cells that miss premium after formation entry"),
        ("auc", "ROC AUC of the oracle"),
        ("auc_machines_known", "ROC AUC of the oracle that also knows the later machines and channels"),
    ):
        lines.append(f"| {title} | {_span([seed['premium'][name] for seed in seeds])} | |")
    lines += ["", "| figure | machine fails within 24 h |", "| --- | --- |"]
    for name, title in (
        ("warned", "failures that give warning"),
        ("base_rate", "share of machine-hours"),
        ("auc", "ROC AUC of the oracle"),
        ("best_auc", "ROC AUC of the best single signal"),
        ("best_share", "of what can be learnt, what that signal explains"),
    ):
        lines.append(f"| {title} | {_span([each[name] for each in failures])} |")
    for part in failures[0]["parts"]:
        lines.append(f"| variance of that signal: {part} | {_span([each['parts'][part] for each in failures])} |")
    total = _span([each["failures"] for each in failures], 0)
    lines.append(f"| failures in 150 days of history and {days} days | {total} |")
    return "\n".join(lines) + "\n"


def _span(values: list[float], digits: int = 3) -> str:
    return f"{np.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main(file: str, count: int = 6_000, draws: int = 40, days: int = 30) -> None:
    """Measure and write the page."""
    site, cells = load_site(ROOT / "infra" / "sites" / "demo"), spread_cells(count)
    of_cells = [cell_figures(site, seed, cells, draws) for seed in SEEDS]
    of_machines = [failure_figures(site, seed, days) for seed in SEEDS]
    Path(file).write_text(page(of_cells, of_machines, count, draws, days), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
