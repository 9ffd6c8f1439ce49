"""Training and scoring beside the libraries alone, with the same trials, rows and threads."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from orchestration.bench.ground import Ground
from orchestration.bench.process import Ran, bare, work
from orchestration.bench.rows import Row, Target, samples
from pipelines.control_plan.errors import CellworksError

_NATIVE = ("lightgbm", "xgboost")
Told = dict[str, Any]


def training(ground: Ground) -> list[Row]:
    """Seconds of a full search of every solution, registered with all its figures, beside its fits alone."""
    ours, alone = ground.training.told, bare_training(ground)
    rows = [
        Row(
            f"training_{slug}",
            samples(each["seconds"]),
            "s",
            samples(alone[slug].told["seconds"]),
            note=f"{each['trials']} trials on {each['rows']:,} rows, {each['library']} won; {_phases(each['phases'])}",
        )
        for slug, each in ours.items()
    ]
    whole = samples(sum(each["seconds"] for each in ours.values()))
    fits = samples(sum(ran.told["seconds"] for ran in alone.values()))
    note = (
        f"all {len(ours)} predictive solutions that have labels, once; ours reads the lake, evaluates with intervals, "
        "explains, draws, logs and registers as well"
    )
    return [Row("training", whole, "s", fits, Target("ratio", "<=", 1.3), note), *rows]


def _phases(seconds: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items() if name != "total")


@cache
def bare_training(ground: Ground) -> dict[str, Ran]:
    """The fits of `Ground.training` in loops, by solution."""
    found = {}
    for slug in ground.training.told:
        ground.tell(f"training {slug} in bare loops")
        folder = ground.training_folder / slug
        found[slug] = bare("bare_training.py", ground.logs, folder / "table.parquet", folder / "work.json")
    return found


def scoring(ground: Ground) -> list[Row]:
    """Rows per second without and with reasons: of the scoring itself, and from table to table."""
    slug, version = _scored(ground)
    out = ground.folder / "scoring"
    amount: Told = {"rows": ground.size.scored_rows, "explained_rows": ground.size.explained_rows}
    ours: dict[str, list[Told]] = {"plain": [], "reasons": []}
    alone: dict[str, list[Told]] = {"plain": [], "reasons": []}
    for number in range(ground.size.repeats):
        ground.tell(f"scoring with {slug}")
        given: Told = {"slug": slug, "version": version, "out": str(out), "salt": number}
        told = work("score", ground.logs, ground.trained, **given, **amount).told
        for name, scored in ours.items():
            ground.tell(f"scoring by the library alone ({name})")
            scored.append(told[name])
            alone[name].append(_bare_scoring(ground, out, told["booster"], name).told)
    return [
        row
        for name, what in (("plain", "scoring"), ("reasons", "scoring_with_reasons"))
        for row in _scoring_rows(what, slug, ours[name], alone[name])
    ]


def _scoring_rows(name: str, slug: str, ours: list[Told], alone: list[Told]) -> list[Row]:
    itself = "from a table in memory to finished predictions; bare: from numbers in memory to the library's own"
    whole = f"from table to lake ({_phases(ours[0]['phases'])}); bare: from file to file"
    rows = f"{ours[0]['rows']:,} rows of {slug}"
    return [
        Row(
            name,
            samples([_rate_itself(told) for told in ours]),
            "rows/s",
            samples([_rate_itself(told) for told in alone]),
            Target("ratio", ">=", 0.6),
            f"{rows}, {itself}",
        ),
        Row(
            f"{name}_to_lake",
            samples([told["rows"] / told["seconds"] for told in ours]),
            "rows/s",
            samples([told["rows"] / told["seconds"] for told in alone]),
            note=f"{rows}, {whole}",
        ),
    ]


def _rate_itself(told: Told) -> float:
    """Rows per second of what lies between reading and writing, whatever it is."""
    phases = told["phases"]
    seconds = phases.get("total", told["seconds"])  # ours asks the registry for the champion before
    return float(told["rows"] / (seconds - phases["read"] - phases["write"]))


def _scored(ground: Ground) -> tuple[str, str]:
    """The solution with the most rows whose winner is a boosting library, and its version."""
    told = {slug: each for slug, each in ground.training.told.items() if each["library"] in _NATIVE}
    if not told:
        raise CellworksError(
            "no solution was won by a boosting library, so there is no predict to compare with",
            expected="lightgbm or xgboost",
            found=json.dumps({slug: each["library"] for slug, each in ground.training.told.items()}),
            mend="run the benchmark on a larger plant",
        )
    slug = max(told, key=lambda each: (told[each]["rows"], each))
    return slug, str(told[slug]["version"])


def _bare_scoring(ground: Ground, out: Path, booster: str, name: str) -> Ran:
    threads = json.loads(next(ground.training_folder.glob("*/work.json")).read_text(encoding="utf-8"))["threads"]
    contributions = ["contributions"] if name == "reasons" else []
    files = (out / f"{name}.matrix.parquet", booster, out / "features.json", threads, out / f"{name}.out.parquet")
    return bare("bare_scoring.py", ground.logs, *files, *contributions)
