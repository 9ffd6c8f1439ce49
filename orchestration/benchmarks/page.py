"""The page of the documentation: `benchmarks.json`, pictures, and `benchmarks.md`, which is made of the JSON alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from orchestration.bench.report import markdown
from orchestration.benchmarks import pictures
from orchestration.benchmarks.outcome import Measured, Outcome, Picture
from orchestration.benchmarks.spec import Benchmark

JSON, PAGE, IMAGES = "benchmarks.json", "benchmarks.md", "images/benchmarks"
PEER = Path("tests", "bench", "peer", "results.json")
_MANY = 10  # splits or seeds from which each is drawn
_NAMED = 3  # of what the search chose, in all splits or seeds
_HEAD = """# Public data sets

<!-- Written by `make benchmarks`; not to be edited. -->

Public data sets with published results, each through the door that a user's own table takes: one YAML, no code of its
own (`orchestration/benchmarks/tables/`). The data is not shipped; each set says where it is published. Everything that
is chosen (features, windows, learner, threshold, limits) is chosen on what is learnt from; the judged part is only
judged, which a test holds.

*floor* is a plain method under the same protocol, *published* what others report. What must be reached is said before
it is measured. A 95 % interval over splits or seeds says how much the luck of the draw moves the mean (on the narrow
side, for splits share rows); the one over the judged rows how much other rows would move a single draw.
"""
_QUICK = """!!! warning "A quick run"
    One split or seed of each data set and no protocol beside: it says whether everything works, not how well.
"""


def document(found: Mapping[str, tuple[Benchmark, Measured]], **about: Any) -> dict[str, Any]:
    """All that the page shows, as plain values.

    Args:
        found: each data set with its figures, by name.
        about: `machine`, `minutes` and `is_quick` of the run.
    """
    rows = [row for _, measured in found.values() for row in measured.rows]
    sets = [_set(benchmark, measured) for benchmark, measured in found.values()]
    # Through JSON, so that what is rendered at once and what is rendered later are made of the same values.
    return dict(json.loads(json.dumps({**about, "results": rows, "sets": sets})))


def _set(benchmark: Benchmark, measured: Measured) -> dict[str, Any]:
    said = ("data", "title", "about", "published_at", "through", "forward")
    return {
        **{name: getattr(benchmark, name) for name in said},
        "question": benchmark.solution.get("question", ""),
        "not_comparable": [each.model_dump() for each in benchmark.not_comparable],
        "rounds": [
            _round(label, protocol.protocol.told(), measured.outcomes[label])
            for protocol in benchmark.rounds(quick=False)
            if (label := protocol.label) in measured.outcomes
        ],
        "pictures": [
            {"file": _file(benchmark, picture), "caption": picture.caption} for picture in _drawn(benchmark, measured)
        ],
    }


def _round(label: str, told: str, outcome: Outcome) -> dict[str, Any]:
    tables = [
        {"title": each.title, "columns": each.columns, "rows": each.rows, "note": each.note} for each in outcome.tables
    ]
    return {
        "label": label,
        "protocol": told,
        "seconds": outcome.seconds,
        "cpu_s": outcome.cpu_s,
        "chosen": [list(each) for each in Counter(outcome.chosen).most_common()],
        "tables": tables,
    }


def _file(benchmark: Benchmark, picture: Picture) -> str:
    return f"{benchmark.data}_{picture.name}.png"


def _drawn(benchmark: Benchmark, measured: Measured) -> list[Picture]:
    """Pictures of a data set: those of its protocols, and each figure of many draws."""
    found = []
    for measure in benchmark.measures:
        figure = measured.outcomes[""].figures.get(measure.title)
        if figure is not None and len(figure.values) >= _MANY:
            draw = partial(pictures.by_split, figure.values, measure)
            caption = f"{measure.title} of each of the {figure.over} beside the floor and what must be reached"
            found.append(Picture(measure.title.replace(" ", "_"), caption, draw))
    return found + [picture for outcome in measured.outcomes.values() for picture in outcome.pictures]


def draw(found: Mapping[str, tuple[Benchmark, Measured]], docs: Path) -> None:
    """Draw the pictures of all data sets; those of an earlier run go."""
    folder = docs / IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    for benchmark, measured in found.values():
        for picture in _drawn(benchmark, measured):
            picture.draw(folder / _file(benchmark, picture))


def write(told: Mapping[str, Any], docs: Path) -> None:
    """Write JSON and page."""
    docs.mkdir(parents=True, exist_ok=True)
    (docs / JSON).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    (docs / PAGE).write_text(page(told), encoding="utf-8")


def page(told: Mapping[str, Any]) -> str:
    """The page in Markdown."""
    machine = told["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    system = f"{machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, Python {machine['python']}"
    command = "cellworks benchmarks --quick" if told["is_quick"] else "make benchmarks"
    load = ", ".join(str(each) for each in machine["load_before"])
    parts = [
        _HEAD,
        *([_QUICK] if told["is_quick"] else []),
        f"Command: `{command}`, {machine['at']}, {told['minutes']:.1f} minutes, two processes of one thread.",
        f"\nMachine: {machine['processor']}, {system}, load before {load}; {packages}.",
        f"\nWhat must be reached is reached by {_count(told, 'met')}, what is aimed at by {_count(told, 'aim_met')}.\n",
        _overview(told["results"]),
        *(_section(each, told["results"]) for each in told["sets"]),
        _peer(told),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _count(told: Mapping[str, Any], what: str) -> str:
    asked = [row[what] for row in told["results"] if row[what] is not None]
    return f"{sum(asked)} of {len(asked)} figures"


def _overview(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ("data", "figure", "ours", "95 %", "floor", "published", "must", "met", "aim", "met")
    return markdown(
        head,
        [
            [
                f"[{row['data']}](#{row['data']})",
                row["metric"],
                short(row["value"]),
                band((row["low"], row["high"])),
                short(row["floor"]),
                short(row["published"]),
                limit(row["must"], row["better"]),
                yes(row["met"]),
                limit(row["aim"], row["better"]),
                yes(row["aim_met"]),
            ]
            for row in rows
        ],
    )


def _section(told: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    own = [row for row in rows if row["data"] == told["data"]]
    parts = [
        f"\n## {told['title']} {{#{told['data']}}}\n",
        f"`{told['data']}`: {told['about']}. Published at `{told['published_at']}`.\n",
        f"Asked of `{told['through']}`: {told['question']}\n",
        *(f"- {_told(each)}" for each in told["rounds"]),
        *([f"- {told['forward']}"] if told["forward"] else []),
        "",
        _figures(own),
        *_remarks(own),
        *(f"\n![{each['caption']}]({IMAGES}/{each['file']})" for each in told["pictures"]),
        *(_table(table) for each in told["rounds"] for table in each["tables"]),
    ]
    if told["not_comparable"]:
        parts.append("\nPublished, and not chased:\n")
        parts += [f"- {each['figure']} ({each['source']}): {each['why']}." for each in told["not_comparable"]]
    return "\n".join(parts)


def _told(each: Mapping[str, Any]) -> str:
    label = f"*{each['label']}*: " if each["label"] else "Published protocol: "
    seconds = f"{each['seconds']:.1f} s to learn once ({each['cpu_s']:.1f} s of one core)"
    chosen = "; ".join(f"{name} ({count})" if count > 1 else name for name, count in each["chosen"][:_NAMED])
    if len(each["chosen"]) > _NAMED:
        chosen += f"; and {len(each['chosen']) - _NAMED} others"
    return f"{label}{each['protocol']}. {seconds}.{f' Chosen: {chosen}.' if chosen else ''}"


def _figures(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ("figure", "ours", "95 %", "over", "95 % over judged rows", "floor", "published")
    return markdown(
        head,
        [
            [
                row["metric"],
                short(row["value"]),
                band((row["low"], row["high"])),
                row["over"] or "-",
                band((row["rows_low"], row["rows_high"])),
                short(row["floor"]),
                short(row["published"]),
            ]
            for row in rows
        ],
    )


def _remarks(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is to be known of single figures: the floor's method, the published one's source, notes."""
    found = []
    for row in rows:
        said = (("floor", row["floor_is"]), ("published", row["source"]), ("", row["note"]))
        told = "; ".join(f"{what}: {text}" if what else text for what, text in said if text)
        if told:
            found.append(f"- {row['metric']}: {told}.")
    return ["", *found] if found else []


def _table(told: Mapping[str, Any]) -> str:
    rows = [[each if isinstance(each, str) else short(each) for each in row] for row in told["rows"]]
    note = f"\n\n{told['note']}" if told["note"] else ""
    return f"\n### {told['title']}\n\n{markdown(told['columns'], rows)}{note}"


def with_peer(told: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """The document with the peer's figures, each beside ours of the same splits and seeds; as it is without the file.

    Args:
        told: the document.
        file: what the peer's script wrote.
    """
    if not file.is_file():
        return {name: value for name, value in told.items() if name != "peer"}
    peer = json.loads(file.read_text(encoding="utf-8"))
    ours = {(row["data"], row["metric"]): row for row in told["results"]}
    rows = []
    for each in peer["rows"]:
        own = ours.get((each["data"], each["metric"]))
        if own is not None:
            values = own["values"][: len(each["values"])]
            rows.append({**each, "ours": sum(values) / len(values), "ours_cpu_s": own["cpu_s"]})
    return {**told, "peer": {**peer, "rows": rows}}


def _peer(told: Mapping[str, Any]) -> str:
    peer = told.get("peer")
    if not peer:
        return ""
    head = ("data", "figure", "draws", "learnt from", "ours", "peer", "ours, CPU s", "peer, CPU s", "peer chose")
    rows = [
        [
            each["data"],
            each["metric"],
            str(len(each["values"])),
            each["learnt_from"],
            short(each["ours"]),
            short(sum(each["values"]) / len(each["values"])),
            short(each["ours_cpu_s"]),
            short(each["cpu_s"]),
            each["chosen"],
        ]
        for each in peer["rows"]
    ]
    return f"\n## A peer: {peer['name']} {{#peer}}\n\n{peer['note']}\n\n{markdown(head, rows)}"


def short(value: float | None) -> str:
    """Four digits, or a dash."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def band(ends: Sequence[float | None]) -> str:
    """Two ends, or a dash."""
    return "-" if ends[0] is None else f"{short(ends[0])} to {short(ends[1])}"


def limit(limit: float | Sequence[float] | None, better: str) -> str:
    """What must be reached: from which side, or between which ends."""
    if limit is None:
        return "-"
    if isinstance(limit, Sequence):
        return band(limit)
    return f"{'<=' if better == 'lower' else '>='} {short(limit)}"


def yes(met: bool | None) -> str:
    """Yes, no, or a dash where nothing is asked."""
    return {True: "yes", False: "NO", None: "-"}[met]
