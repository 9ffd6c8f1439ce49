"""How much of a number can be predicted at all: what the twin draws after a solution's step, and the target's gauge.

The same cells are made several times; everything up to the step stays, what comes later is drawn anew. What then still
varies no model could know. Whatever happens within the step counts as known, so the ceiling is rather too high; but the
target's own chance is known only where something that is measured by then follows from it.
"""

from __future__ import annotations

import numpy as np

from models.spec import PredictiveSpec
from pipelines.control_plan.plan import ELECTRODES, Characteristic
from pipelines.control_plan.site import Site
from pipelines.twin.rng import salt
from pipelines.twin.world import World

_CELLS, _APART, _DRAWS = 2_000, 97, 6
_SEED = 3001


class _Redrawn(World):
    """A plant whose noise after a step is another one."""

    fresh = 0
    late: frozenset[str] = frozenset()
    target = ""
    is_shown = True

    def salt(self, name: str) -> int:
        """Where the noise of a named effect begins."""
        code, _, kind = name.partition("@")
        of_target = ("gauge",) if self.is_shown else ("gauge", "")
        is_unknown = code.removeprefix("lost_") in self.late or (code == self.target and kind in of_target)
        return salt(self.fresh if is_unknown else self.seed, name)


def noise_sd(spec: PredictiveSpec, site: Site, *, is_asked: bool = False) -> float | None:
    """Standard deviation of the target that nobody can know at the solution's step, in the target's unit.

    Args:
        spec: the solution.
        site: its plan and twin.
        is_asked: whether a search asks it what would be at other set-points. It may then read nothing that follows
            from them, and with it nothing that shows the target's own chance.

    Returns:
        None where the target is no characteristic of the control plan, or the solution acts at no step of it.
    """
    order = {step.code: step.order for step in site.steps}
    named = [row for row in site.plan.rows if row.code == spec.target.column or _is_variant(row, spec.target.column)]
    asked = {value for values in spec.only.values() for value in values if value in ELECTRODES}
    named = [row for row in named if not asked or row.variant in ("", *asked)]
    rows = [row for row in named if row.entity == spec.entity] or named
    if not rows or spec.acts_at not in order:
        return None
    known = order[spec.acts_at]
    late = frozenset(row.code for row in site.plan.rows if order.get(row.step, 0) > known)
    return float(np.sqrt(np.mean([_unknown_variance(site, row, late, is_asked=is_asked) for row in rows])))


def _is_shown(plant: World, row: Characteristic, late: frozenset[str]) -> bool:
    """Whether a number is a cause of another one that is measured by then, in a record or by the historian."""
    plan, graph = plant.site.plan, plant.graph
    name = row.name if row.variant in ELECTRODES else row.code
    caused = [each for each in plan.rows if row.code in plant.node(each.code).parents]
    caused += [each for each in plan.rows if name in graph.telemetry.causes.get(each.name, {})]
    return any(each.code not in late for each in caused)


def _is_variant(row: Characteristic, column: str) -> bool:
    return bool(row.variant) and row.code == f"{row.variant}_{column}"


def _unknown_variance(site: Site, row: Characteristic, late: frozenset[str], *, is_asked: bool) -> float:
    cells = np.arange(_CELLS) * _APART
    plant = _Redrawn(site, _SEED, "baseline", 1.0)
    plant.late, plant.target = late, row.code
    plant.is_shown = not is_asked and _is_shown(plant, row, late)
    keys = plant.numbers(plant.level(row), cells)
    shown = []
    for fresh in range(1, _DRAWS + 1):
        plant.fresh = _SEED + fresh
        shown.append(plant.shown(row, cells, {}, keys))
    return float(np.var(shown, axis=0, ddof=1).mean())
