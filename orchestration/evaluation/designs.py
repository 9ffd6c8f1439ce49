"""Does the learnt order of designs find a better cell than as many designs that fill the space? By the same physics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import numpy as np

from models.optimizer.cell_design import chosen, laid_out, search_designs, settings_of
from models.optimizer.cell_physics import DESIGN, FIGURES, Basis, as_designs, basis_of, figures_of
from models.optimizer.design_spec import CellDesign
from orchestration.benchmarks.outcome import over_draws
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.outcome import Evaluation
from pipelines.optimizers.bayesian import Able, spread_out
from pipelines.optimizers.runs import Floats


def evaluate(kind: CellDesign, ground: Ground) -> Evaluation:
    """Pair the learnt order with the space-filling one for every seed; powders are as the plan has them.

    The figure is what the best design that keeps every limit improves, as a share of today's design.
    """
    product = ground.site.product
    basis = basis_of(product, 1.0, 1.0, kind.stack_room_mm, kind.contact_mohm)
    physics = _Physics(basis)
    today = np.array([product.design[name] for name in DESIGN])
    able = laid_out(kind, today, basis)
    place, sign = FIGURES.index(kind.improve.of), 1.0 if kind.improve.to == "higher" else -1.0
    shares = []
    for no, seed in enumerate(ground.seeds):
        ground.tell(f"search {seed}", no, len(ground.seeds))
        learnt = search_designs(kind, today, physics.work_out, able, seed)
        filled = physics.work_out(_filled(kind, today, able, seed))
        values = (learnt.figures[learnt.best, place], filled[chosen(kind, filled), place])
        shares.append([sign * (value / filled[0, place] - 1) for value in values])
    return _judged(kind, ground, np.array(shares))


@dataclass
class _Physics:
    """Figures of designs, each worked out once for all seeds and arms."""

    basis: Basis
    known: dict[bytes, Floats] = field(default_factory=dict)

    def work_out(self, designs: Floats) -> Floats:
        """Figures of designs, shape (n, 4) to (n, 8)."""
        for design in designs:
            key = np.round(design, 9).tobytes()
            if key not in self.known:
                told = figures_of(as_designs(design[None]), self.basis)[0]
                self.known[key] = np.array([told[name] for name in FIGURES])
        return np.array([self.known[np.round(design, 9).tobytes()] for design in designs])


def _filled(kind: CellDesign, today: Floats, able: Able, seed: int) -> Floats:
    """Today's design and as many that fill the space, of those that can be laid out, as the learnt order works out."""
    designs = np.repeat(today[None], kind.runs, axis=0)
    designs[1:, [DESIGN.index(one.of) for one in kind.vary]] = spread_out(
        settings_of(kind), kind.runs - 1, seed, able=able
    )
    return designs


def _judged(kind: CellDesign, ground: Ground, shares: Floats) -> Evaluation:
    gain = over_draws((shares[:, 0] - shares[:, 1]).tolist(), "searches")
    low, high = cast("float", gain.low), cast("float", gain.high)
    own = over_draws(shares[:, 0].tolist(), "searches")
    return Evaluation(
        "working" if low > 0 else "failing",
        f"{own.value:.1%} above today's design by its physics, {gain.value:.1%} [{low:.1%}, {high:.1%}] more than "
        f"the best of {kind.runs} that fill the space",
        metric=f"{kind.improve.of} of the best design that keeps every limit, share above today's",
        value=own.value,
        baseline=float(shares[:, 1].mean()),
        threshold=0.0,
        interval=(low, high),
        figures={
            "gain": gain.value,
            "interval_of": "share above today's after the learnt order less after the space-filling one, Student's t",
            "seeds": list(ground.seeds),
            "gain_by_seed": list(gain.values),
            "gain_over_today": {"value": own.value, "low": own.low, "high": own.high},
            "designs": kind.runs,
        },
    )
