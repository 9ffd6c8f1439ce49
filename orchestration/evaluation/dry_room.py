"""Does a search for the dew point help? Its loop is closed on the twin's dry rooms, beside the rooms at the recipe's.

The model that it asks is learnt as a night would, and each morning one move of each room may be carried out. Both arms
are the same hours with the same people, doors and weather. What counts is the energy on the dehumidifiers' meters;
no more zones and cathodes than with the recipe may be moister than their limit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from models.context import ModelContext
from models.fitting import fit
from models.optimizer.reading import no_moves
from models.optimizer.setpoint_models import Asked
from models.optimizer.setpoint_search import MOVES, moved_of, searched
from models.optimizer.setpoint_spec import SetpointSearch
from models.optimizer.spec import OptimizerSpec
from models.prepare import prepare
from models.spec import PredictiveSpec
from orchestration.catalogue import discover, find
from orchestration.evaluation import loops
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.outcome import Evaluation
from orchestration.evaluation.setpoint_search import ORIGIN, after_move, crossings, is_promoted, moments
from pipelines.lake.home import Home
from pipelines.optimizers.run_to_run import HOUR_S
from pipelines.optimizers.runs import Floats
from pipelines.twin import dry_room
from pipelines.twin.course import Course, Move
from pipelines.twin.energy import weather
from pipelines.twin.table import Table, concat
from pipelines.twin.world import World

STEP = "dry_room"
LEARN_DAYS, CONTROL_DAYS, LEARN_EVERY_DAYS = 30, 30, 5
_ZONE, _ENERGY, _WATER = "zone_dew_point_max_c", "dehumidifier_kwh", "bake_cathode_moisture_ppm"
_NEXT_H, _DAY_H, _EVERY_CELL = 4, 24, 20


@dataclass
class Arms:
    """The two arms of one plant over the days with moves.

    Attributes:
        saved: share of the dehumidifiers' energy. kwh: of both arms, (fixed, moved).
        outside: of all `hours` of zones those that were moister than the limit, (fixed, moved).
        moisture: mean ppm left in the cathodes of the cells made then, and % of them beyond the limit, by arm.
        setpoints: last ones by room. crossed: a sentence for each limit or rate. reasons: how often each was told.
    """

    seed: int
    saved: float = 0.0
    kwh: tuple[float, float] = (0.0, 0.0)
    outside: tuple[int, int] = (0, 0)
    hours: int = 0
    moisture: dict[str, tuple[float, float]] = field(default_factory=dict)
    setpoints: dict[str, float] = field(default_factory=dict)
    moves: int = 0
    crossed: list[str] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)


def evaluate(spec: OptimizerSpec, kind: SetpointSearch, ground: Ground) -> Evaluation:
    """Pair the rooms whose set-point is searched with those of the recipe, for every seed.

    The gain is the share of the dehumidifiers' energy saved, with Student's interval over the seeds.
    """
    specs = discover()
    models = [cast("PredictiveSpec", find(kept.solution, specs)) for kept in kind.keep]
    arms = []
    for no, seed in enumerate(ground.seeds):
        ground.tell(f"plant {seed}", no, len(ground.seeds))
        with tempfile.TemporaryDirectory() as folder:
            arms.append(_Loop(spec, kind, models, ground, seed, Path(folder)).arms())
    return judged(ground, arms)


class _Loop:
    """One plant: the hours of its rooms, the model learnt from them, and the moves."""

    def __init__(
        self,
        spec: OptimizerSpec,
        kind: SetpointSearch,
        models: list[PredictiveSpec],
        ground: Ground,
        seed: int,
        folder: Path,
    ) -> None:
        self._spec, self._kind, self._models, self._ground, self._folder = spec, kind, models, ground, folder
        self._seed, self._world = seed, World(ground.site, seed, "baseline", 1.0)
        self._moved = {
            room: [moved_of(ground.site, name, None, room, no_moves(), spec.solution) for name in kind.move]
            for room in dry_room.rooms(self._world)
        }
        self._carried: dict[str, list[tuple[float, float]]] = {room: [] for room in self._moved}

    def arms(self) -> Arms:
        """Learn, move, run the rooms; then the meters of both arms."""
        found, asked = Arms(self._seed), Asked({})
        seen = [self._day(day) for day in range(LEARN_DAYS)]
        fixed: list[Table] = []
        for day in range(LEARN_DAYS, LEARN_DAYS + CONTROL_DAYS):
            now_s = self._world.clock.bounds(day)[0]
            table = hours_table(concat(seen), now_s)
            if (day - LEARN_DAYS) % LEARN_EVERY_DAYS == 0:
                asked = self._learn(table, now_s, asked)
            for room in self._moved:
                self._decide(asked, table, room, now_s, found)
            seen.append(self._day(day))
            fixed.append(self._day(day, moved=False))
        self._weigh(concat(fixed), concat(seen[LEARN_DAYS:]), found)
        return found

    def _day(self, day: int, *, moved: bool = True) -> Table:
        outdoor = weather(self._world, day)
        rows = dry_room.hours(self._world, day, outdoor, self._carried if moved else {})
        rooms = len(self._moved)
        same = {name: np.tile(outdoor[name], rooms) for name in ("outdoor_temp_c", "outdoor_dew_point_c")}
        return rows | same | {"day": np.full(len(rows["event_s"]), day)}

    def _learn(self, table: pa.Table, now_s: float, champions: Asked) -> Asked:
        """The champions after a night at this moment: a challenger that passes its gates takes the last one's place."""
        file = self._folder / "hours.parquet"
        pq.write_table(table, file)
        now = ORIGIN + timedelta(seconds=now_s)
        ctx = ModelContext(Home(self._folder), self._ground.site, as_of=now, n_threads=1)
        found = dict(champions.scorers)
        for model in self._models:
            own = model.model_copy(update={"table": str(file), "domain": None, "acts_at": None})
            prepared = prepare(own, ctx)
            scorer = fit(own, ctx, prepared).scorer
            if is_promoted(own, prepared, scorer):
                found[model.solution] = scorer
        return Asked(found)

    def _decide(self, asked: Asked, table: pa.Table, room: str, now_s: float, found: Arms) -> None:
        kind, moved = self._kind, self._moved[room]
        own = table.filter(pc.equal(table["machine_id"], room))
        at_s = own["hour_at"].to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6
        now = at_s[-1] + now_s - float(own["at_s"][-1].as_py())  # the plant's now on the clock of the table
        rows = pa.table(
            {
                "variant": pa.array([None] * len(own), pa.string()),
                "at_s": pa.array(at_s),
                **{f"moved_{place}": own[name] for place, name in enumerate(kind.move)},
                **{f"read_{name}": own[name] for name in asked.columns},
            }
        ).filter(pa.array(at_s > now - kind.learn_days * 24 * HOUR_S))
        _, advice, reason = searched(self._spec, kind, self._ground.site, asked, rows, moved, now)
        found.reasons[reason] = found.reasons.get(reason, 0) + 1
        if reason not in MOVES:
            return
        found.crossed += crossings(moved[advice.knob], advice.proposed, now)
        found.moves += 1
        self._moved[room] = after_move(moved, advice.knob, advice.proposed, now)
        self._carried[room].append((now_s, advice.proposed))

    def _weigh(self, fixed: Table, moved: Table, found: Arms) -> None:
        limit = self._world.site.plan.by_code[_ZONE].usl or np.inf
        found.kwh = float(fixed[_ENERGY].sum()), float(moved[_ENERGY].sum())
        found.saved = 1 - found.kwh[1] / found.kwh[0]
        found.hours = len(fixed[_ZONE])
        found.outside = int((fixed[_ZONE] > limit).sum()), int((moved[_ZONE] > limit).sum())
        found.setpoints = {room: moved[0].setpoint for room, moved in self._moved.items()}
        found.moisture = self._moisture()

    def _moisture(self) -> dict[str, tuple[float, float]]:
        """What is left in cathodes of cells stacked on days with moves, by arm: mean, and % beyond the limit."""
        per_day, row = round(self._world.cells_per_day), self._world.site.plan.by_code[_WATER]
        cells = np.arange(LEARN_DAYS * per_day, (LEARN_DAYS + CONTROL_DAYS) * per_day, _EVERY_CELL)
        day_s = self._world.clock.bounds(0)[1]
        moves = [
            Move(int(at_s / day_s * per_day), value, no)
            for no, room in enumerate(self._moved)
            for at_s, value in self._carried[room]
        ]
        each = []
        for course in (Course(), Course(moves={dry_room.SETPOINT: tuple(moves)})):
            self._world.course = course
            each.append(self._world.value(row, self._world.z(_WATER, cells, {})))
        limit = np.inf if row.usl is None else row.usl
        fixed, moved = each
        return {
            "mean_ppm": (float(fixed.mean()), float(moved.mean())),
            "beyond_pct": (float(np.mean(fixed > limit)) * 100, float(np.mean(moved > limit)) * 100),
        }


def hours_table(rows: Table, now_s: float) -> pa.Table:
    """Hours as the platform has them at a moment: what is known by then, each room's in their order, with the label.

    Args:
        rows: of the twin; the same hours of every room.
        now_s: plant seconds.
    """
    rooms = list(dict.fromkeys(rows["machine_id"].tolist()))
    columns: dict[str, list[Any]] = {}
    for room in rooms:
        own = {name: values[rows["machine_id"] == room] for name, values in rows.items()}
        zone, known_s = own[_ZONE], own["known_s"]
        following = np.lib.stride_tricks.sliding_window_view(zone[1:], _NEXT_H).max(axis=1)
        label = np.append(following, np.full(len(zone) - len(following), np.nan))
        label[known_s + _NEXT_H * HOUR_S > now_s] = np.nan
        table = {
            "machine_id": own["machine_id"], "at_s": own["event_s"], "hour_at": moments(own["event_s"]),
            "production_day": own["day"].astype(str),
            "shift_code": (own["event_s"] // (8 * HOUR_S) % 3).astype(int).astype(str),
            dry_room.SETPOINT: own[dry_room.SETPOINT], _ZONE: zone, "people_count": own["people_count"],
            "door_opening_count": own["door_opening_count"], "people_count_24h": _last_day(own["people_count"]),
            "door_opening_count_24h": _last_day(own["door_opening_count"]),
            "outdoor_temp_c": own["outdoor_temp_c"], "outdoor_dew_point_c": own["outdoor_dew_point_c"],
            _ENERGY: own[_ENERGY], "known_at": moments(known_s), "dew_point_max_next_4h_c": label,
            "label_known_at": moments(known_s + _NEXT_H * HOUR_S),
        }  # fmt: skip
        for name, values in table.items():
            columns.setdefault(name, []).append(values[known_s <= now_s])
    return pa.table({name: pa.array(np.concatenate(parts), from_pandas=True) for name, parts in columns.items()})


def _last_day(counts: np.ndarray) -> Floats:
    """Mean of the last day's hours, of those that there are at first."""
    total = np.cumsum(np.append(0.0, counts))
    last = np.arange(1, len(counts) + 1)
    first = np.maximum(last - _DAY_H, 0)
    found: Floats = (total[last] - total[first]) / (last - first)
    return found


def _moister(arms: Sequence[Arms]) -> list[str]:
    """What the moves let get moister than the recipe did: more hours of zones, or more cathodes, beyond their limit."""
    hours = sum(one.hours for one in arms)
    zones = [sum(one.outside[no] for one in arms) / hours * 100 for no in (0, 1)]
    cathodes = [float(np.mean([one.moisture["beyond_pct"][no] for one in arms])) for no in (0, 1)]
    return [
        f"{moved:.3f} % of the {what} beyond their limit, {fixed:.3f} % with the recipe"
        for what, (fixed, moved) in (("zones' hours", zones), ("cathodes' moisture", cathodes))
        if moved > fixed
    ]


def judged(ground: Ground, arms: Sequence[Arms]) -> Evaluation:
    """Hold what became of the plants against the lines of optimisers: the interval above zero and nothing crossed."""
    names = {f"{name}_{arm}": no for name in ("kwh", "hours_outside") for no, arm in enumerate(("fixed", "moved"))}
    per_day = {
        key: float(np.mean([(one.kwh if key.startswith("kwh") else one.outside)[no] for one in arms])) / CONTROL_DAYS
        for key, no in names.items()
    }
    return loops.judged(
        ground,
        arms,
        [one.saved for one in arms],
        lambda gain: f"saves {gain} of the dehumidifiers' energy on the twin's meters",
        of=("energy of the dehumidifiers, share of the recipe's", "the dehumidifiers' energy"),
        crossed=_moister(arms),
        days={"learnt_from": LEARN_DAYS, "moved": CONTROL_DAYS, "learnt_anew_every": LEARN_EVERY_DAYS},
        figures={
            "a_day": per_day,
            "moisture": {
                name: np.mean([one.moisture[name] for one in arms], axis=0).tolist() for name in arms[0].moisture
            },
            "last_setpoint": float(np.mean([list(one.setpoints.values()) for one in arms])),
        },
    )
