"""Premium cells go to modules in the order of grading, modules to racks and containers."""

from __future__ import annotations

import numpy as np

from pipelines.control_plan.derive import characteristics
from pipelines.twin.clock import HOUR
from pipelines.twin.rng import Module, stream
from pipelines.twin.state import State
from pipelines.twin.table import Array, Floats, Ints, Table
from pipelines.twin.world import World


def pack(world: World, here: State, day: int, grading: Table) -> dict[str, Table]:
    """Records of the modules that a day's premium cells fill, and of the containers that these complete.

    Cells that don't fill a module wait in `here.module_pool`.
    """
    product, scale = world.site.product, world.scale
    premium = [grade.code for grade in world.site.grades if grade.is_premium]
    here.module_pool += list(grading["cell_id"][np.isin(grading["grade_code"].astype(str), premium)])
    size = max(2, round(product.cells_per_module * min(1.0, scale * 4)))
    count = len(here.module_pool) // size
    if not count:
        return {}
    cells, here.module_pool = here.module_pool[: count * size], here.module_pool[count * size :]
    numbers = here.next_module + np.arange(count)
    here.next_module += count
    per_rack, per_container = product.modules_per_rack, product.racks_per_container
    rng = stream(world.seed, day, Module.PACK)
    at = float(grading["event_s"].max()) + world.p("lead.module_h") * HOUR + np.sort(rng.uniform(0, 20 * HOUR, count))
    modules = np.array([f"M{n:06d}" for n in numbers], dtype=object)
    racks = np.array([f"R{n // per_rack:05d}" for n in numbers], dtype=object)
    containers = np.array([f"X{n // per_rack // per_container:04d}" for n in numbers], dtype=object)
    full = np.flatnonzero(numbers % (per_rack * per_container) == per_rack * per_container - 1)
    finished = at[full] + world.p("lead.container_h") * HOUR
    return {
        "mes__module": {
            "cell_id": np.array(cells, dtype=object),
            "module_id": np.repeat(modules, size),
            "rack_id": np.repeat(racks, size),
            "container_id": np.repeat(containers, size),
            "position_no": np.tile(np.arange(1, size + 1, dtype=np.int32), count),
            "event_s": np.repeat(at, size),
            "known_s": np.repeat(at, size) + 60.0,
        },
        "tester__module": _tested(world, "tester__module", "module_id", modules, numbers, at + HOUR),
        "tester__container": _tested(
            world, "tester__container", "container_id", containers[full], numbers[full], finished
        ),
    }


def _tested(world: World, feed: str, key: str, ids: Array, numbers: Ints, at: Floats) -> Table:
    memo: dict[str, Floats] = {}
    values = {row.code: world.shown(row, numbers, memo, numbers) for row in characteristics(world.site, feed)}
    return {key: ids, **values, "event_s": at, "known_s": at + 600.0} if len(ids) else {}
