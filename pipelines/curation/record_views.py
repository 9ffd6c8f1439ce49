"""What could be known of a batch or a roll when a step was done with it, before the laboratory told how it came out.

A view `marts.<record>_in_<step>` has a row for each record. It shows what the step was told in line, what earlier steps
and laboratories had told by then, and the laboratory results of the lots that went in; where the step is followed while
it goes on, also what its machine showed at the last moment known by its end, as `last_<name>`. What the step made of it
is what one wants to know, and in none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.control_plan.derive import characteristics
from pipelines.control_plan.site import Site

Column = dict[str, Any]
Model = dict[str, Any]
_LOT_RESULT, _ROLL_RESULT = "lims__material_result", "lims__roll_result"


@dataclass(frozen=True)
class RecordView:
    """What a view shows of a record.

    Attributes:
        record: mart with a row for each record.
        key: its key.
        step: the step that is done with it.
        feed: feed of the step's own record.
        earlier: feeds of what it was made from, and the relation of the view's SQL that holds each.
        takes_in: kinds of material that went in: `slurry`, `foil`.
        head: columns beside the characteristics.
        followed: mart of the step's moments while it goes on, in `plan_data` under the same name; empty for none.
    """

    record: str
    key: str
    step: str
    feed: str
    earlier: Mapping[str, str]
    takes_in: tuple[str, ...]
    head: tuple[str, ...]
    followed: str = ""

    @property
    def name(self) -> str:
        """Name of the view."""
        return f"{self.record}_in_{self.step}"


RECORD_VIEWS = (
    RecordView(
        record="slurry_batch",
        key="slurry_batch_id",
        step="mixing",
        feed="mes__slurry_batch",
        earlier={},
        takes_in=("slurry",),
        head=("slurry_batch_id", "production_day", "electrode_code", "mixer_id", "shift_code", "active_material_lot_id",
              "started_at", "ended_at"),
        followed="mixing_moment",
    ),
    RecordView(
        record="mother_roll",
        key="mother_roll_id",
        step="drying",
        feed="mes__mother_roll",
        earlier={"mes__slurry_batch": "slurry_batch"},
        takes_in=("slurry", "foil"),
        head=("mother_roll_id", "production_day", "electrode_code", "slurry_batch_id", "foil_lot_id",
              "active_material_lot_id", "coater_id", "shift_code", "started_at", "ended_at", "length_m"),
    ),
    RecordView(
        record="daughter_roll",
        key="daughter_roll_id",
        step="slitting",
        feed="mes__daughter_roll",
        earlier={"mes__mother_roll": "mother_roll", "lims__roll_result": "roll_result",
                 "mes__calendering": "mother_roll"},
        takes_in=("foil",),
        head=("daughter_roll_id", "production_day", "electrode_code", "mother_roll_id", "slitter_id", "knife_id",
              "lane_no", "length_m", "ended_at"),
    ),
)  # fmt: skip


def record_columns(site: Site, data: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    """By view, its columns of characteristics: code, and where its value and its known-at moment come from.

    Args:
        site: the site, for the plan.
        data: `plan_data` of the site.

    Returns:
        Entries of `code`, `alias` and `column`, and `known_at`, a column of the alias; empty for what is told in line.
    """
    return {view.name: list(_entries(site, data, view)) for view in RECORD_VIEWS}


def _entries(site: Site, data: Mapping[str, Any], view: RecordView) -> Iterator[dict[str, str]]:
    for name in in_line(site, view):
        yield _entry(name, view.record, name, "")
    for name in data[view.followed] if view.followed else ():
        yield _entry(f"last_{name}", "last_moment", name, "known_at")
    for feed, alias in view.earlier.items():
        for name in data["electrode"][feed]:
            yield _entry(name, alias, name, f"{name if feed == _ROLL_RESULT else feed}_known_at")
    for material in lots_of(data, view):
        alias = f"lot_{material}"
        yield _entry(f"{material}_supplier_code", alias, "supplier_code", "known_at")
        for row in data["codes"][_LOT_RESULT]:
            if row["variant"] == material:
                yield _entry(row["code"], alias, row["code"], "result_known_at")


def _entry(code: str, alias: str, column: str, known_at: str) -> dict[str, str]:
    return {"code": code, "alias": alias, "column": column, "known_at": known_at}


def in_line(site: Site, view: RecordView) -> list[str]:
    """Names that the machine's own gauges have told by the end of the step: at once, and not what the step made."""
    order = {step.code: step.order for step in site.plan.steps}
    told = [
        row.name
        for row in characteristics(site, view.feed)
        if not row.delay_s and (order[row.step] < order[view.step] or (row.step == view.step and row.type == "process"))
    ]
    return list(dict.fromkeys(told))


def lots_of(data: Mapping[str, Any], view: RecordView) -> list[str]:
    """Tested materials whose lots went into the record, in the order of the site."""
    tested = {row["variant"] for row in data["codes"][_LOT_RESULT]}
    foils = [name for name in data["materials"] if name in tested and name.endswith("foil")]
    mixed = [name for name in data["slurry_materials"] if name in tested]
    return [*(mixed if "slurry" in view.takes_in else []), *(foils if "foil" in view.takes_in else [])]


def record_models(data: Mapping[str, Any], models: Mapping[str, Model], titles: Mapping[str, str]) -> dict[str, Model]:
    """Schema entries of the views; each column is described as in the mart that it comes from.

    Args:
        data: plan data with the views' columns as `record_in`.
        models: schema entries of the marts written by hand.
        titles: title of each step.
    """
    described: dict[str, Column] = {}
    for name in ("cell", "material_lot", "slurry_batch", "mother_roll", "daughter_roll"):
        described |= {column["name"]: column for column in models[name]["columns"]}
    found = {}
    for view in RECORD_VIEWS:
        own = described | {column["name"]: column for column in models[view.record]["columns"]}
        if view.followed:
            own |= {column["name"]: column for column in _last(models[view.followed]["columns"])}
        names = [*view.head, *(entry["code"] for entry in data["record_in"][view.name])]
        found[view.name] = _model([own[name] for name in names], view, titles[view.step])
    return found


def _last(columns: list[Column]) -> Iterator[Column]:
    """A moment's columns as the view has them of the last one."""
    for column in columns:
        text = f"{column['description'].rstrip('.')}, at the last moment known by the end."
        yield column | {"name": f"last_{column['name']}", "description": text}


def _model(columns: list[Column], view: RecordView, title: str) -> Model:
    thing = view.record.replace("_", " ")
    return {
        "domain": "process",
        "name": view.name,
        "description": (
            f"What was known of a {thing} when {title.lower()} was done with it: what was told in line, earlier steps, "
            f"and the lots that went in; empty where it became known later. One row per {thing}."
        ),
        "data_tests": [{"key_is_unique": {"name": f"{view.name}_key", "arguments": {"keys": [view.key]}}}],
        "columns": [{k: v for k, v in column.items() if k != "constraints"} for column in columns],
    }
