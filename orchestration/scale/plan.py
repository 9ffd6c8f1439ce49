"""What lies beyond the measured sizes: by arithmetic from the largest one, for more lines and for more sites."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Final

from orchestration.catalogue import discover
from orchestration.scale.growth import extrapolated, size_at
from orchestration.scale.outcomes import GIB, MEMORY_SHARE, figures_of
from orchestration.scale.stages import FOUNDATION, LEARNING

NIGHT_S: Final = 2 * 3600.0
"""Wall seconds that a night may take: the demo site's begins at 8 and the weekly search at 10."""
BUSY_SHARE: Final = 0.7
"""Of the cores, what solutions side by side use: the last one of a night has them for itself."""
BEYOND: Final = (30, 100)
SITES: Final = 10
SHARED: Final = f"{SITES} sites of 1 line, one machine"
POINT_NUMBERS: Final = 2**31
"""Numbers that a control point's hash may be."""
_MOST_LINES = 10_000
_FEWEST_CORES = 2


@dataclass(frozen=True)
class Night:
    """A first night of a plant, over all measured days at once; after a restore there is none longer.

    Attributes:
        lines: of the plant.
        data_s: wall seconds of ingestion, curation and checks, one after the other.
        data_cpu_s: their CPU seconds.
        learn_cpu_s: CPU seconds of training and scoring of one solution, the mean of those measured.
        data_gib: largest peak memory of the data's stages.
        learn_gib: largest peak memory of a solution.
    """

    lines: int
    data_s: float
    data_cpu_s: float
    learn_cpu_s: float
    data_gib: float
    learn_gib: float

    def seconds(self, solutions: int, cores: int) -> float:
        """Wall seconds of the night on so many cores."""
        return self.data_s + solutions * self.learn_cpu_s / (cores * BUSY_SHARE)

    def cores(self, solutions: int) -> float:
        """Cores on which the night ends in time; infinite where the data alone take longer."""
        left = NIGHT_S - self.data_s
        return solutions * self.learn_cpu_s / (left * BUSY_SHARE) if left > 0 else math.inf


def plan(told: Mapping[str, Any]) -> dict[str, Any]:
    """Nights of measured and larger plants, where this machine ends, and machines for ten lines and ten sites.

    Args:
        told: sizes, figures and growth as `run.measure` has them.

    Returns:
        Empty where a stage that the night needs was not measured with every number of lines.
    """
    if not {*FOUNDATION, *(stage for pair in LEARNING for stage in pair)} <= set(told["growth"]):
        return {}
    solutions, cores = len(discover()), told["machine"]["cores"]
    measured = told["size"]["lines"]
    lines = [*measured, *(each for each in BEYOND if each > max(measured))]
    nights = [night_of(told, each) for each in lines]
    one, ten = night_of(told, 1), night_of(told, 10)
    return {
        "assumed": {"night_s": NIGHT_S, "memory_share": MEMORY_SHARE, "busy_share": BUSY_SHARE, "solutions": solutions},
        "nights": [asdict(each) | {"night_s": each.seconds(solutions, cores)} for each in nights],
        "outgrown": {"memory": _outgrown_memory(told), "night": _outgrown_night(told, solutions)},
        "machines": [
            _own("1 site, 1 line", 1, one, solutions),
            _own("1 site, 10 lines", 1, ten, solutions),
            _own(f"{SITES} sites of 1 line, a machine each", SITES, one, solutions),
            _shared(one, solutions),
            _own(f"{SITES} sites of 10 lines, a machine each", SITES, ten, solutions),
        ],
        "disk": _disk(told),
        "clash": _clash(told, lines),
    }


def night_of(told: Mapping[str, Any], lines: int) -> Night:
    """The night of a plant of so many lines: as measured, between two measured sizes, or beyond the largest."""

    def of(stage: str, figure: str) -> float:
        return figure_at(told, stage, figure, lines)

    return Night(
        lines,
        data_s=sum(of(stage, "seconds") for stage in FOUNDATION),
        data_cpu_s=sum(of(stage, "cpu_seconds") for stage in FOUNDATION),
        learn_cpu_s=fmean(sum(of(stage, "cpu_seconds") for stage in pair) for pair in LEARNING),
        data_gib=max(of(stage, "peak_bytes") for stage in FOUNDATION) / GIB,
        learn_gib=max(of(stage, "peak_bytes") for pair in LEARNING for stage in pair) / GIB,
    )


def figure_at(told: Mapping[str, Any], stage: str, figure: str, lines: int) -> float:
    """A figure of a stage with so many lines.

    As measured; between two sizes on the power law through both; beyond the largest by the steeper slope.
    """
    known = {each: float(row[figure]) for each, row in figures_of(told)[stage].items()}
    if lines in known:
        return known[lines]
    most = max(known)
    if lines > most:
        return extrapolated(known[most], told["growth"][stage][figure]["steepest"], lines / most)
    above = min(each for each in known if each > lines)
    below = max((each for each in known if each < lines), default=above)
    if below == above:
        return known[above]
    slope = math.log(known[above] / known[below]) / math.log(above / below)
    return extrapolated(known[below], slope, lines / below)


def _outgrown_memory(told: Mapping[str, Any]) -> dict[str, Any]:
    """The stage that fills this machine first, with how many lines; solutions are side by side, one on each core."""
    most, machine = max(told["size"]["lines"]), told["machine"]
    learnt = {stage for pair in LEARNING for stage in pair}
    found = []
    for stage, grown in told["growth"].items():
        beside = machine["cores"] if stage in learnt else 1
        peak_gib, exponent = figure_at(told, stage, "peak_bytes", most) / GIB, grown["peak_bytes"]["steepest"]
        end = size_at(peak_gib, exponent, most, MEMORY_SHARE * machine["memory_gib"] / beside)
        found.append((end, {"stage": stage, "beside": beside, "peak_gib": peak_gib, "exponent": exponent}))
    end, first = min(found, key=lambda each: each[0])
    return {**first, "lines": end if math.isfinite(end) else None}


def _outgrown_night(told: Mapping[str, Any], solutions: int) -> dict[str, Any]:
    """Most lines whose night ends in time on this machine, and what takes the most of the first night that does not."""
    cores = told["machine"]["cores"]

    def is_late(lines: int) -> bool:
        return night_of(told, lines).seconds(solutions, cores) > NIGHT_S

    low, high = 0, _MOST_LINES  # the night of `low` lines ends in time, that of `high` does not
    if not is_late(high):
        return {"lines": None, "stage": "", "share": 0.0}
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_late(middle) else (middle, high)
    late = night_of(told, high)
    parts = {stage: figure_at(told, stage, "seconds", high) for stage in FOUNDATION}
    parts["learning and answering"] = late.seconds(solutions, cores) - late.data_s
    slowest = max(parts, key=lambda stage: parts[stage])
    return {"lines": low, "stage": slowest, "share": parts[slowest] / sum(parts.values())}


def _own(name: str, machines: int, night: Night, solutions: int) -> dict[str, Any]:
    """A layout whose every site has a machine of its own: the data's stages, then a solution on each core."""
    exact = night.cores(solutions)
    if not math.isfinite(exact):
        return _layout(name, machines, night, None, 0, 0.0)
    cores = max(_FEWEST_CORES, math.ceil(exact))
    return _layout(name, machines, night, exact, cores, max(night.data_gib, cores * night.learn_gib) / MEMORY_SHARE)


def _shared(one: Night, solutions: int) -> dict[str, Any]:
    """All sites on one machine, each with a code location and a home of its own: their nights side by side."""
    exact = SITES * (one.data_cpu_s + solutions * one.learn_cpu_s) / (NIGHT_S * BUSY_SHARE)
    cores = max(_FEWEST_CORES, math.ceil(exact))
    beside = min(cores, SITES)
    gib = beside * max(one.data_gib, one.learn_gib) / MEMORY_SHARE
    return {**_layout(SHARED, 1, one, exact, cores, gib), "beside": beside}


def _layout(name: str, machines: int, night: Night, exact: float | None, cores: int, gib: float) -> dict[str, Any]:
    """An instance has cores and GiB by powers of two, as they are sold; none where no number of cores is enough."""
    return {
        "layout": name,
        "machines": machines,
        "night": asdict(night),
        "exact": exact,
        "cores": cores,
        "gib": gib,
        "instance": None if exact is None else {"cores": _up(cores), "gib": _up(gib)},
    }


def _disk(told: Mapping[str, Any]) -> dict[str, float]:
    """Bytes of the lake for a day of a line, from the largest plant: values by the minute, and all else."""
    plant = max(told["plants"], key=lambda each: each["lines"])
    lake, size = plant["lake"], told["size"]
    return {
        "by_minute_bytes": lake["bytes_by_minute"] / size["telemetry_days"] / plant["lines"],
        "other_bytes": (lake["bytes"] - lake["bytes_by_minute"]) / size["days"] / plant["lines"],
    }


def _clash(told: Mapping[str, Any], lines: list[int]) -> list[dict[str, float]]:
    """Chance that two control points of a site have the same number, and how many do, with each number of lines.

    The birthday problem: n(n - 1) / 2 pairs, each alike with 1 / `POINT_NUMBERS`.
    """
    plant = max(told["plants"], key=lambda each: each["lines"])
    of_line = plant["lake"]["control_points"] / plant["lines"]
    counts = [round(of_line * each) for each in lines]
    pairs = {count: count**2 / 2 / POINT_NUMBERS for count in counts}
    return [{"points": count, "chance": 1 - math.exp(-each), "pairs": each} for count, each in pairs.items()]


def _up(value: float) -> int:
    """The next power of two, at least 2."""
    return 1 << max(1, math.ceil(math.log2(value)))
