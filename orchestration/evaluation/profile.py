"""Does profile control help? Its loop is closed on the dies of the twin's sections, beside the recipe's bolts.

Both arms are the same rolls with the same chance. The controller sees records when the platform would, and moves as
often as the site lets advice be given: what it was allowed is worked out again from what was set. What counts is the
true weight across the web. The ceiling is a die whose bolts stand, within their limits, as is best for each roll.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.optimize import lsq_linear

from models.optimizer.aim import moved_by
from models.optimizer.profile import bounds_of, prior_of, uneven_pct
from models.optimizer.profile_spec import ProfileControl
from models.optimizer.spec import OptimizerSpec
from orchestration.benchmarks.outcome import over_draws
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.outcome import Evaluation
from pipelines.optimizers.profile import Rows, advise, learn
from pipelines.optimizers.run_to_run import DAY_S, HOUR_S, Guards, reach_of
from pipelines.optimizers.runs import Bools, Floats, Ints, Moves
from pipelines.twin.section import Electrode, Rolls, Step
from pipelines.twin.web_profile import WebProfile

CONTROL_DAYS = 14
ELECTRODES = ("cathode", "anode")
DECIDE_EVERY_S = 4 * HOUR_S  # two machines, six times a day two bolts each: half of what the site lets be advised
_CEILING_EVERY = 24  # rolls: the ceiling is a mean that a part of them tells
_TABLE = "marts.web_profile"
_STEP: Step = "coating"
_DEAD_S = 2400.0


@dataclass(frozen=True)
class Arms:
    """The two arms of one die.

    Attributes:
        seed: of the plant. electrode: of the machine.
        fixed: true spread of each roll over the web, % of its mean, with the recipe's bolts; `controlled` with the
            controller; `best` the ceiling, of a part of the rolls, and `best_fixed` of these with the recipe's bolts.
        moves: carried out. furthest: largest distance of a bolt from the recipe's place.
        crossed: sentences, one for each limit that was crossed.
    """

    seed: int
    electrode: str
    fixed: Floats
    controlled: Floats
    best: Floats
    best_fixed: Floats
    moves: int
    furthest: float
    crossed: list[str]

    @property
    def gain(self) -> float:
        """Share of the spread that the controller takes away."""
        return 1 - rms(self.controlled) / rms(self.fixed)

    @property
    def ceiling(self) -> float:
        """Share that nothing could take more of."""
        return 1 - rms(self.best) / rms(self.best_fixed)


def rms(values: Floats) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(values**2)))


def evaluate(spec: OptimizerSpec, kind: ProfileControl, ground: Ground) -> Evaluation:
    """Pair the controlled die with the one that keeps its bolts, for every seed and electrode."""
    if spec.acts_at != _STEP or spec.table != _TABLE:
        return Evaluation("not_run", f"the twin closes this loop at the coater's die only, from {_TABLE}")
    arms = []
    for no, seed in enumerate(ground.seeds):
        ground.tell(f"plant {seed}", no, len(ground.seeds))
        section = ground.section(seed, round(kind.learn_days) + CONTROL_DAYS)
        arms += [_Loop(spec, kind, ground, section.electrode(name)).arms(seed) for name in ELECTRODES]
    return _judged(kind, ground, arms)


class _Loop:
    """One die: its records as they become known, the advice, and what comes of it."""

    def __init__(self, spec: OptimizerSpec, kind: ProfileControl, ground: Ground, line: Electrode) -> None:
        self._kind, self._line = kind, line
        self._rolls = line.rolls(_STEP)
        _, self._nominal, self._guards = moved_by(ground.site, kind.by, line.name, spec.solution)
        self._known_s = _known_s(line, self._rolls)
        count = WebProfile(line.world, line.name).lip_count
        self._bolts = np.full((len(self._rolls), count), self._nominal)
        self._moves = [Moves.none()] * count

    def arms(self, seed: int) -> Arms:
        """Learn from the first days, then move and make rolls."""
        rolls, kind = self._rolls, self._kind
        first = int(np.searchsorted(rolls.at_s, rolls.at_s[0] + kind.learn_days * DAY_S))
        later = np.arange(first, len(rolls))
        recipe, response = self._recipe(later), WebProfile(self._line.world, self._line.name).response_pct_um
        decided_s, crossed = -np.inf, []
        for roll in later:
            now_s = float(rolls.at_s[roll]) - _DEAD_S
            if now_s - decided_s >= DECIDE_EVERY_S:
                crossed += self._decide(int(roll), now_s)
                decided_s = now_s
        off = self._bolts[later] - self._nominal
        controlled = (recipe + off @ response.T).std(axis=1)
        part = recipe[::_CEILING_EVERY]
        reach = (self._guards.low - self._nominal, self._guards.high - self._nominal)
        best = np.array([(each + response @ lsq_linear(response, -each, reach).x).std() for each in part])
        moves = sum(len(each.at_s) for each in self._moves)
        furthest = float(np.abs(off).max())
        return Arms(seed, self._line.name, recipe.std(axis=1), controlled, best, part.std(axis=1), moves, furthest,
                    crossed)  # fmt: skip

    def _decide(self, roll: int, now_s: float) -> list[str]:
        """Ask for advice before a roll, and carry it out from it on; sentences of what it crosses."""
        kind, rolls = self._kind, self._rolls
        seen = np.flatnonzero((self._known_s <= now_s) & (rolls.at_s <= now_s))
        seen = seen[rolls.at_s[seen] > now_s - kind.learn_days * DAY_S]
        if not len(seen) or now_s - rolls.at_s[seen[-1]] > kind.max_age_h * HOUR_S:
            return []
        now = self._bolts[roll]
        reach = np.array([max(reach_of(self._guards, now_s, each), 0.0) for each in self._moves])
        advice = advise(
            learn(Rows(uneven_pct(self._weights(seen)), self._bolts[seen]), prior_of(kind), kind.ahead),
            now.copy(),
            bounds_of(kind, self._guards, reach),
            min_gain=kind.min_gain,
            outlier_sigma=kind.outlier_sigma,
        )
        if advice.reason != "move":
            return []
        for bolt in np.flatnonzero(advice.proposed != now):
            self._moves[bolt] = self._moves[bolt].with_one(now_s, float(advice.proposed[bolt] - now[bolt]))
        found = crossings(kind, self._guards, now.copy(), advice.proposed, self._moves, now_s)
        self._bolts[roll:] = advice.proposed
        return found

    def _weights(self, rows: Ints) -> Floats:
        """What the gauge shows of rolls, g/m2, shape (rolls, lips)."""
        found = np.empty((len(rows), self._bolts.shape[1]))
        for own, profile, world_numbers in self._by_fate(rows):
            off = self._bolts[rows[own]] - self._nominal
            found[own] = profile.shown(self._rolls.first[rows[own]], world_numbers, off)[0]
        return found

    def _recipe(self, rows: Ints) -> Floats:
        found = np.empty((len(rows), self._bolts.shape[1]))
        for own, profile, _ in self._by_fate(rows):
            found[own] = profile.recipe_pct(self._rolls.first[rows[own]])
        return found

    def _by_fate(self, rows: Ints) -> list[tuple[Bools, WebProfile, Ints]]:
        """Which of some rolls each fate made, its die, and their numbers: scrapped rolls are other ones."""
        level, found = f"{self._line.name}_roll", []
        for is_lost, world in ((False, self._line.world), (True, self._line.world.of_lost(level))):
            own = self._rolls.is_lost[rows] == is_lost
            numbers = world.numbers(level, self._rolls.first[rows[own]])
            found.append((own, WebProfile(world, self._line.name), numbers))
        return found


def _known_s(line: Electrode, rolls: Rolls) -> Floats:
    """When the record of each roll is known; never for one that is lost on the way."""
    records = line.deliveries(_STEP, rolls)
    known_s = np.full(len(rolls), np.inf)
    np.minimum.at(known_s, records["row"], records["known_s"])
    return known_s


def crossings(
    kind: ProfileControl, guards: Guards, before: Floats, after: Floats, moves: list[Moves], now_s: float
) -> list[str]:
    """Limits, rates and interlocks that an advice crossed, worked out from what was set and not from what was meant.

    Args:
        kind: gives what neighbours and the sum of the moves must keep.
        guards: of the plan and the site.
        before: set-points, shape (k,).
        after: those that were carried out.
        moves: of each actuator, these among them.
        now_s: when it was decided.
    """
    size, found = np.abs(after - before), []
    if np.any((size > 0) & ((after < guards.low) | (after > guards.high))):
        found.append("a set-point outside the specification")
    if np.any(size > guards.step + 1e-9):
        found.append("a move larger than allowed")
    if np.any(np.abs(np.diff(after)) > np.maximum(kind.most_apart, np.abs(np.diff(before))) + 1e-9):
        found.append("neighbours further apart than the lip bears")
    if size.sum() > kind.most_moved + 1e-9 or np.count_nonzero(size) > kind.most:
        found.append("more moved at once than allowed")
    for each in moves:
        last = each.at_s > now_s - HOUR_S
        if np.abs(each.size[last]).sum() > guards.rate_per_h + 1e-9:
            found.append("more within an hour than allowed")
        if np.count_nonzero(each.at_s > now_s - DAY_S) > guards.moves_per_day:
            found.append("moved more often within a day than allowed")
    return found


def _judged(kind: ProfileControl, ground: Ground, arms: list[Arms]) -> Evaluation:
    by_seed = [float(np.mean([one.gain for one in arms if one.seed == seed])) for seed in ground.seeds]
    gain = over_draws(by_seed, "plants")
    low, high = cast("float", gain.low), cast("float", gain.high)
    crossed = [text for one in arms for text in one.crossed]
    ceiling = float(np.mean([one.ceiling for one in arms]))
    told = (
        f"takes {gain.value:.1%} [{low:.1%}, {high:.1%}] of the recipe's unevenness across the web away, "
        f"of {ceiling:.1%} that bolts set anew for each roll could"
    )
    if crossed:
        told += f"; crossed: {crossed[0]}"
    return Evaluation(
        "working" if low > 0 and not crossed else "failing",
        told,
        metric=f"{kind.hold}: standard deviation across the web, root mean square over rolls, % of the mean",
        value=float(np.mean([rms(one.controlled) for one in arms])),
        baseline=float(np.mean([rms(one.fixed) for one in arms])),
        threshold=0.0,
        interval=(low, high),
        figures={
            "gain": gain.value,
            "interval_of": "share of the recipe's spread across the web taken away, Student's t over plants",
            "ceiling": ceiling,
            "seeds": list(ground.seeds),
            "gain_by_seed": by_seed,
            "gain_by_electrode": {
                name: float(np.mean([one.gain for one in arms if one.electrode == name])) for name in ELECTRODES
            },
            "days": {"learnt_from": kind.learn_days, "controlled": CONTROL_DAYS},
            "moves_a_day": float(np.mean([one.moves for one in arms])) / CONTROL_DAYS,
            "furthest_um": float(np.max([one.furthest for one in arms])),
            "crossed": crossed,
        },
    )
