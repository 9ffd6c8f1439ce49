"""The dbt schema files of a site: contracts, descriptions and tests, written from contracts/ and the control plan.

`python -m pipelines.curation.contracts` writes those of the demo site into `dbt/`; `--check` says whether they are
current. A run writes those of its own site into the instance's copy of the project.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pipelines.control_plan.derive import characteristics
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site
from pipelines.curation.plan_data import ELECTRODE_FEEDS, MATERIAL_RESULT, ROLL_RESULT, plan_data
from pipelines.curation.record_views import RECORD_VIEWS, lots_of, record_columns, record_models

PROJECT = Path(__file__).resolve().parents[2] / "dbt"
HEADER = "# Written by `python -m pipelines.curation.contracts` from contracts/ and the control plan; edit those.\n"
COURSES = {
    "mean_6h": "mean of the last 6 hours",
    "mean_24h": "mean of the last 24 hours",
    "slope_6h": "slope per hour over the last 6 hours",
    "slope_24h": "slope per hour over the last 24 hours",
}
PIT_VIEWS = (
    "coating",
    "calendering",
    "stacking",
    "sealing",
    "baking",
    "filling",
    "formation",
    "ageing",
    "grading",
    "module",
)
# Names of plan data that hold all characteristics of a feed.
_FEED_OF_PLAN = {
    "machine_hour": "historian__machine_hour",
    "leak_test": "tester__leak_test",
    "web_profile": "mes__web_profile",
    "mixing_moment": "mes__mixing_moment",
    "dry_room_hour": "ems__dry_room_hour",
}
Column = dict[str, Any]


@cache
def _contract_files() -> tuple[dict[str, Any], dict[str, str]]:
    """The hand-written contracts of the marts, and the glossary."""
    folder = PROJECT / "contracts"
    marts = yaml.safe_load((folder / "marts.yml").read_text(encoding="utf-8"))
    glossary = yaml.safe_load((folder / "glossary.yml").read_text(encoding="utf-8"))
    return marts, glossary


def about(column: str) -> str:
    """What a column means, from the glossary; the longest pattern that fits it counts.

    Raises:
        CellworksError: the glossary knows nothing of it.
    """
    glossary = _contract_files()[1]
    if column in glossary:
        return glossary[column]
    fitting = [pattern for pattern in glossary if "*" in pattern and fnmatchcase(column, pattern)]
    if not fitting:
        raise CellworksError(
            f"the column {column} has no description",
            expected="an entry in the glossary",
            mend=f"add `{column}: what it means, with its unit`",
            where="dbt/contracts/glossary.yml",
        )
    return glossary[max(fitting, key=len)]


def schema_files(site: Site) -> dict[Path, str]:
    """All generated schema files of a site: path within the project -> content."""
    files = {Path("models/sources.yml"): _dump({"version": 2, "sources": [_source(site)]})}
    for domain in dict.fromkeys(feed.domain for feed in site.feeds.values()):
        models = [_staging_model(site, name) for name, feed in site.feeds.items() if feed.domain == domain]
        path = Path(f"models/staging/{domain}/_{domain}__staging.yml")
        files[path] = _dump({"version": 2, "models": models})
    for name, spec in mart_models(site).items():
        path = Path(f"models/marts/{spec.pop('domain')}/{name}.yml")
        files[path] = _dump({"version": 2, "models": [spec]})
    return files


def _dump(content: Mapping[str, Any]) -> str:
    # libyaml writes these files ten times faster than Python; where it is missing, Python does.
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return HEADER + yaml.dump(
        content, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None
    )


def _source(site: Site) -> dict[str, Any]:
    tables = [
        {"name": name, "description": f"{feed.entity.replace('_', ' ').capitalize()} records as delivered."}
        for name, feed in site.feeds.items()
    ]
    return {"name": "raw", "schema": "raw", "database": "lake", "tables": tables}


def _staging_model(site: Site, feed_name: str) -> dict[str, Any]:
    feed = site.feeds[feed_name]
    names = [column["name"] for column in plan_data_of(site)["feeds"][feed_name]["columns"]]
    measured = _measured(site, feed_name)
    described = [{"name": name, "description": measured.get(name) or about(name)} for name in names]
    described.append({"name": "production_day", "description": about("production_day")})
    by = " and ".join(key.removesuffix("_id").replace("_", " ") for key in feed.keys)
    test = _test("key_is_unique", f"stg_{feed_name}_key", keys=list(feed.keys))
    if feed.shape == "series":
        test["key_is_unique"]["arguments"]["newest_day"] = True
    return {
        "name": f"stg_{feed_name}",
        "description": f"{feed_name}, typed, in the plan's units, the newest record of each key. One row per {by}.",
        "data_tests": [test],
        "columns": described,
    }


def _measured(site: Site, feed_name: str) -> dict[str, str]:
    """Descriptions of the characteristics that a wide feed carries, by the column that holds them."""
    feed = site.feeds[feed_name]
    if feed.shape != "wide":
        return {}
    return {
        (row.name if feed.has_variant else row.code): _characteristic_text(
            site, row.name, row.step, row.unit, row.gauge
        )
        for row in characteristics(site, feed_name)
    }


def _characteristic_text(site: Site, name: str, step: str, unit: str, gauge: str) -> str:
    title = site.plan.steps_by_code[step].title
    by = f", by {gauge}" if gauge else ""
    return f"{title}: {name.replace('_', ' ')}, in {unit}{by}."


def _test(test: str, name: str, **arguments: Any) -> dict[str, Any]:
    return {test: {"name": name, "arguments": arguments}}


_plan_data: dict[str, dict[str, Any]] = {}


def plan_data_of(site: Site) -> dict[str, Any]:
    """`plan_data` and what its views show: `cell_at`, `record_in` and `record_lots`; worked out once per site."""
    if site.hash not in _plan_data:
        data = plan_data(site)
        ids = cell_ids(data)
        _plan_data[site.hash] = data | {
            "cell_at": {step: columns_at(data, ids, step) for step in PIT_VIEWS},
            "record_in": record_columns(site, data),
            "record_lots": {view.name: lots_of(data, view) for view in RECORD_VIEWS},
        }
    return _plan_data[site.hash]


def cell_ids(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Columns of a cell beside the characteristics: code, column that says when it was known, order of the step."""
    order = {step["code"]: step["order"] for step in data["steps"]}
    found = [
        {"code": column, "known_at": group["known_at"], "order": order[group["step"]]}
        for group in _contract_files()[0]["cell"]["point_in_time"]
        for column in group["columns"]
    ]
    for material in tested_materials(data):
        known_at = f"{material}_{MATERIAL_RESULT}_known_at"
        found += [
            {"code": column, "known_at": known_at, "order": data["material_order"][material]}
            for column in (f"{material}_lot_id", f"{material}_supplier_code")
        ]
    return found


def columns_at(data: Mapping[str, Any], ids: list[dict[str, Any]], step: str) -> list[dict[str, str]]:
    """Columns that can be known of a cell when it enters a step, each with the column that says when it was.

    They belong to earlier steps, and not to the record of the step itself: that is written when the step is over.
    """
    order = {each["code"]: each["order"] for each in data["steps"]}
    own = {entry["known_at"] for entry in data["cell"] if entry["step"] == step}
    return [
        {"code": entry["code"], "known_at": entry["known_at"]}
        for entry in (*ids, *data["cell"])
        if entry["order"] < order[step] and entry["known_at"] not in own
    ]


def tested_materials(data: Mapping[str, Any]) -> list[str]:
    """Materials that the plan has characteristics of."""
    return list(dict.fromkeys(row["variant"] for row in data["codes"][MATERIAL_RESULT]))


def mart_models(site: Site) -> dict[str, dict[str, Any]]:
    """Schema entries of all marts by name, each with its `domain` beside what dbt reads."""
    data = plan_data_of(site)
    models = {name: _mart_model(site, data, name, spec) for name, spec in _contract_files()[0].items()}
    types = {column["name"]: column for column in models["cell"]["columns"]}
    for step in PIT_VIEWS:
        models[f"cell_at_{step}"] = _view_model(site, data, step, types)
    titles = {step.code: step.title for step in site.plan.steps}
    return models | record_models(data, models, titles)


def _mart_model(site: Site, data: Mapping[str, Any], name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    columns = [column for entry in spec["columns"] for column in _columns(site, data, entry)]
    key_test = _test("key_is_unique", f"{name}_key", keys=spec["keys"])
    if spec.get("test_newest_day"):
        key_test["key_is_unique"]["arguments"]["newest_day"] = True
    tests = [key_test]
    for identity in spec.get("identities", []):
        rule = identity["rule"].format(nominal_energy_kwh=data["cost"]["nominal_energy_kwh"])
        null_is_good = {"null_is_good": True} if identity.get("null_is_good") else {}
        tests.append(_test("always_holds", identity["name"], rule=rule, **null_is_good))
    if "references" in spec:
        tests.append(_references_test(name, spec["references"]))
    return {
        "domain": spec["domain"],
        "name": name,
        "description": spec["description"],
        "data_tests": tests,
        "columns": columns,
    }


def _references_test(name: str, references: Mapping[str, str]) -> dict[str, Any]:
    """A missing record upstream is a finding for the expectations to judge; here it warns."""
    entries = [
        {"column": column, "to": f"ref('{target.split('.')[0]}')", "field": target.split(".")[1]}
        for column, target in references.items()
    ]
    test = _test("refers_to", f"{name}_references", references=entries)
    test["refers_to"]["config"] = {"severity": "warn"}
    return test


def _view_model(site: Site, data: Mapping[str, Any], step: str, of_cell: Mapping[str, Column]) -> dict[str, Any]:
    visible = [entry["code"] for entry in data["cell_at"][step]]
    head: dict[str, str] = {
        "cell_id": "varchar",
        "production_day": "date",
        "product_code": "varchar",
        "line_code": "varchar",
        "entered_at": "timestamp",
        "is_entered": "boolean",
    }
    columns = [_column(name, kind) for name, kind in head.items()]
    columns += [{k: v for k, v in of_cell[name].items() if k != "constraints"} for name in visible]
    title = site.plan.steps_by_code[step].title.lower()
    return {
        "domain": "test",
        "name": f"cell_at_{step}",
        "description": (
            f"What was known of a cell when it entered {title}: columns of earlier steps, empty where they became "
            "known later. One row per cell that entered or waits."
        ),
        "data_tests": [_test("key_is_unique", f"cell_at_{step}_key", keys=["cell_id"])],
        "columns": columns,
    }


def _column(name: str, kind: str, description: str = "") -> Column:
    column: Column = {"name": name, "data_type": kind.removesuffix("!"), "description": description or about(name)}
    if kind.endswith("!"):
        column["constraints"] = [{"type": "not_null"}]
    return column


def _columns(site: Site, data: Mapping[str, Any], entry: Mapping[str, str]) -> Iterator[Column]:
    """Columns of one entry of a contract: those written out, or those that `plan:` stands for."""
    text = _texts(site)
    if "plan" not in entry:
        yield from (_column(name, kind, text.get(name, "")) for name, kind in entry.items())
        return
    kind = entry["plan"]
    if kind == "lots":
        yield from (_column(f"{material}_lot_id", "varchar") for material in data["materials"])
    elif kind == "suppliers":
        yield from (_column(f"{material}_supplier_code", "varchar") for material in tested_materials(data))
    elif kind in ("material_results", "cell", "seam"):
        rows = data["codes"][MATERIAL_RESULT] if kind == "material_results" else data[kind]
        yield from (_column(row["code"], "double", text[row["code"]]) for row in rows)
    elif kind == "cell_at_ageing":
        yield from (
            _column(code, "double", f"{text[code][:-1]}, mean of the roll's cells.") for code in _at_ageing(data)
        )
    elif kind in ("cell_known_at", "roll_result_known_at"):
        names = _inherited_known_at(data) if kind == "cell_known_at" else _results_known_at(data)
        yield from (_column(name, "timestamp") for name in names)
    elif kind == "machine_hour_course":
        for name in data["machine_hour"]:
            yield from (
                _column(f"{name}_{end}", "float", f"{text[name][:-1]}, {what}.") for end, what in COURSES.items()
            )
    elif kind == "stacker_hour":
        yield from (_column(name, "float", f"{text[name][:-1]}, mean of the hour.") for name in data["stacker_hour"])
    else:
        feed = _FEED_OF_PLAN.get(kind, kind)
        names = data[kind] if kind in _FEED_OF_PLAN else data["electrode"][kind]
        of_name = {row.name: text[row.code] for row in characteristics(site, feed)}
        yield from (_column(name, "double", of_name[name]) for name in names)


def _at_ageing(data: Mapping[str, Any]) -> list[str]:
    """Characteristics of a cell that can be known when it enters ageing."""
    shown = {column["code"] for column in data["cell_at"]["ageing"]}
    return [row["code"] for row in data["cell"] if row["code"] in shown]


def _texts(site: Site) -> dict[str, str]:
    rows = site.plan.rows
    return {row.code: _characteristic_text(site, row.code, row.step, row.unit, row.gauge) for row in rows}


def _inherited_known_at(data: Mapping[str, Any]) -> list[str]:
    """Columns of marts.cell that say when what it inherits was known."""
    names = [f"{material}_{MATERIAL_RESULT}_known_at" for material in tested_materials(data)]
    for electrode in ("cathode", "anode"):
        names += [f"{electrode}_{feed}_known_at" for feed in ELECTRODE_FEEDS]
        names += [f"{electrode}_{name}_known_at" for name in data["electrode"][ROLL_RESULT]]
    return names


def _results_known_at(data: Mapping[str, Any]) -> list[str]:
    """Columns that say when each laboratory result of a roll was known."""
    return [f"{name}_known_at" for name in data["electrode"][ROLL_RESULT]]


def write(folder: Path, files: Mapping[Path, str]) -> list[Path]:
    """Write what differs, so that unchanged files keep their time; returns the paths written."""
    written = []
    for path, content in files.items():
        target = folder / path
        if not target.is_file() or target.read_text(encoding="utf-8") != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content, encoding="utf-8")
            written.append(path)
    return written


def differing(files: Mapping[Path, str]) -> list[str]:
    """Schema files of `dbt/` that are not what the contracts and the plan give."""
    return [
        str(path)
        for path, content in files.items()
        if not (PROJECT / path).is_file() or (PROJECT / path).read_text(encoding="utf-8") != content
    ]


def main(arguments: Iterable[str] | None = None) -> int:
    """Write or check the schema files of the demo site; exit code 1 when they are not current."""
    from pipelines.control_plan.site import load_site

    parser = argparse.ArgumentParser(prog="python -m pipelines.curation.contracts", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not current")
    parser.add_argument("--site", type=Path, default=PROJECT.parent / "infra" / "sites" / "demo")
    options = parser.parse_args(list(arguments) if arguments is not None else None)
    files = schema_files(load_site(options.site))
    if not options.check:
        write(PROJECT, files)
        return 0
    if stale := differing(files):
        sys.stderr.write(f"not current: {', '.join(stale)}\nmend: python -m pipelines.curation.contracts\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
