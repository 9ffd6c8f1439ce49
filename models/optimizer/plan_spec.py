"""What a plan is, as its YAML says it: one part per kind. Light: pydantic only, safe to import anywhere."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from models.solution import Part


class PlanPart(Part):
    """What all plans say.

    Each kind says which columns of the solution's table it reads (`columns`), which further tables (`tables`, `over`),
    and for how long its answers stand (`max_age_h`).
    """

    kind: str = Field(description="which way of optimising; each kind has its own")
    effort: float = Field(
        default=0.2,
        gt=0.0,
        le=60.0,
        description="the solver's limit for a plan, in seconds that are counted, not timed",
    )
    min_gain: float = Field(
        default=0.01, ge=0.0, lt=1.0, description="share of the rule's cost that a plan has to take away to be proposed"
    )
    max_age_h: float = Field(
        default=24.0, gt=0.0, description="hours for which a plan stands, and what waits is waited for"
    )

    @property
    def columns(self) -> list[str]:
        """Columns of the table that it reads, each once."""
        named = (getattr(self, name) for name in type(self).model_fields if name.endswith("_column"))
        return list(dict.fromkeys(name for name in named if name))

    @property
    def tables(self) -> list[str]:
        """Tables beside the solution's own."""
        return [getattr(self, name) for name in self._further if getattr(self, name)]

    @property
    def _further(self) -> list[str]:
        return [name for name in type(self).model_fields if name.endswith("_table")]

    def over(self, relations: dict[str, str]) -> Self:
        """The same plan over other relations, by the names that the YAML gives its tables."""
        named = {name: getattr(self, name) for name in self._further}
        return self.model_copy(update={name: relations.get(table, table) for name, table in named.items()})


class RollSize(Part):
    """Daughter rolls of one size."""

    cells: int = Field(ge=1, description="cells that a roll serves")
    rolls: int = Field(ge=1, description="rolls that are wanted at most, of each variant")


class Cutting(PlanPart):
    """Cuts daughter rolls from mother rolls with the least left over. Keys: the variant, then the mother roll."""

    kind: Literal["cutting"] = Field(description="which way of optimising: here a cutting stock")
    length_column: str = Field(default="length_m", description="column: metres of the mother roll")
    ready_column: str = Field(default="calendered_at", description="column: from when on it can be cut")
    known_column: str = Field(default="mes__calendering_known_at", description="column: when its record was known")
    gone_column: str | None = Field(
        default="scrapped_step_code", description="column that is not null where the roll is scrapped"
    )
    lanes: int = Field(ge=1, le=16, description="lanes that a mother roll is slit into")
    cell_m: float = Field(gt=0.0, description="metres of a lane that a cell takes")
    thread_m: float = Field(ge=0.0, description="metres lost at the two ends of a daughter roll together")
    sizes: list[RollSize] = Field(min_length=1, description="sizes of daughter rolls")
    mark_table: str | None = Field(
        default=None,
        description="stretches to be left out: the mother roll's key, from_m, to_m, known_at; none: all is clean",
    )
    cut_table: str | None = Field(
        default=None, description="table of daughter rolls with the mother roll's key: what was cut is left out"
    )

    @model_validator(mode="after")
    def _sizes_differ(self) -> Self:
        cells = [size.cells for size in self.sizes]
        if len(set(cells)) < len(cells):
            msg = f"each size of roll is named once; found {cells}"
            raise ValueError(msg)
        return self


class Matching(PlanPart):
    """Puts cells together into modules, alike within each. Keys: the product, then the cell."""

    kind: Literal["matching"] = Field(description="which way of optimising: here groups that are alike")
    graded_table: str = Field(default="marts.cell", description="table of cells with what grading measured")
    known_at: str = Field(default="final_known_at", description="its column: when the last grading was known")
    grade: str = Field(default="final_grade_code", description="its column: the grade")
    grades: list[str] = Field(default=["A"], min_length=1, description="grades that go into modules")
    module: str = Field(default="module_id", description="its column that is null while the cell waits")
    alike: dict[str, float] = Field(
        min_length=1, description="its columns that are to be alike, each with a tolerance: a range that counts 1"
    )
    modules: int = Field(default=6, ge=2, le=20, description="modules that are planned at once, of the oldest cells")

    @model_validator(mode="after")
    def _tolerances_are_positive(self) -> Self:
        if bad := [name for name, tolerance in self.alike.items() if tolerance <= 0]:
            msg = f"a tolerance is above 0; found {', '.join(bad)}"
            raise ValueError(msg)
        return self


class Slotting(PlanPart):
    """Puts trays into the places of the stores. Keys: the store, then the tray.

    A row of the table is a stay: a place in a store, put in and taken out (null while it is there).
    """

    kind: Literal["slotting"] = Field(description="which way of optimising: here places near the door")
    place_column: str = Field(default="slot_code", description="column: the place in the store")
    in_column: str = Field(default="put_in_at", description="column: when it was put in")
    out_column: str = Field(default="taken_out_at", description="column: when it was taken out; null while it is there")
    known_column: str = Field(default="known_at", description="column: when the row was known")
    stores: list[str] = Field(min_length=1, description="the stores, in the order in which they are filled")
    place: str = Field(
        default=r"Z(?P<zone>\d+)-(?P<column>\d+)-(?P<level>\d+)",
        description="regular expression of a place with groups zone, column and level, numbers from 1; in lanes of two "
        "also depth: 1 in front, 2 behind",
    )
    zones: int = Field(ge=1, description="zones of a store, one behind the other")
    columns_of_zone: int = Field(ge=1, description="columns of a zone")
    levels: int = Field(ge=1, description="levels of a column")
    column_m: float = Field(gt=0.0, description="travel from column to column, metres")
    level_m: float = Field(gt=0.0, description="travel from level to level, metres")
    relocation_m: float = Field(
        default=0.0, ge=0.0, description="travel of a tray that is moved out of the way, metres"
    )
    look_back_h: float = Field(default=2.0, gt=0.0, description="hours of the newest trays, whose places are planned")
    learn_days: float = Field(default=14.0, ge=1.0, description="days of past stays from which dwell times are learnt")

    @property
    def parts(self) -> list[str]:
        """Groups of a place."""
        return ["zone", "column", "level", *(["depth"] if self.deep == 2 else [])]

    @property
    def deep(self) -> int:
        """Places of a lane."""
        return 2 if "(?P<depth>" in self.place else 1

    @model_validator(mode="after")
    def _names_the_place(self) -> Self:
        if lost := [part for part in ("zone", "column", "level") if f"(?P<{part}>" not in self.place]:
            msg = f"place has groups (?P<zone>..), (?P<column>..) and (?P<level>..); missing: {', '.join(lost)}"
            raise ValueError(msg)
        return self


class LineStep(Part):
    """A step that orders go through."""

    code: str = Field(min_length=1, description="step of the site")
    cells_per_h: float = Field(gt=0.0, description="cells that it makes in an hour")
    setup_h: float = Field(default=0.0, ge=0.0, description="hours that a change of product takes")


class Schedule(PlanPart):
    """Sequences orders on the line's bottlenecks. Keys: the product, then the order; the line makes all products."""

    kind: Literal["schedule"] = Field(description="which way of optimising: here a flow shop of orders")
    ordered_column: str = Field(default="ordered_at", description="column: when it was ordered")
    due_column: str = Field(default="due_at", description="column: when it is promised")
    cells_column: str = Field(default="quantity_cells", description="column: cells that are ordered")
    known_column: str = Field(default="known_at", description="column: when the order was known")
    made_table: str = Field(
        default="marts.cell", description="cells; orders are served in the order in which they came"
    )
    made_at: str = Field(default="formation_ended_at", description="its column: when a cell left the last step")
    steps: list[LineStep] = Field(min_length=1, description="steps in the sequence of the line")
    after_h: float = Field(default=0.0, ge=0.0, description="hours from the last step until it can be shipped")
    orders: int = Field(default=24, ge=2, le=40, description="open orders that are planned at once, the oldest")


class LoadShift(PlanPart):
    """Starts charging when energy is cheap and the load low. Keys: the line, then what is charged together."""

    kind: Literal["load_shift"] = Field(description="which way of optimising: here load by hours")
    entered_column: str = Field(default="entered_at", description="column: when the cell came to wait")
    waits_column: str = Field(default="is_entered", description="column that is false while the cell waits")
    ready_after_h: float = Field(ge=0.0, description="hours after it came from which on it can be charged")
    wait_h: float = Field(gt=0.0, description="hours by which a start may be put off")
    profile_kw: list[float] = Field(min_length=1, description="load of a cell in each hour of its charge, kW")
    cells_at_once: int = Field(ge=1, description="cells that the cabinets hold")
    limit_kw: float = Field(gt=0.0, description="highest load of the plant, kW")
    tariff_table: str = Field(
        default="marts.tariff_hour", description="starts_at, price_usd_per_kwh, demand_charge_usd_per_kw, known_at"
    )
    meter_table: str = Field(
        default="marts.energy_interval", description="step_code, interval_at, interval_s, energy_kwh, known_at"
    )
    charging_step: str = Field(default="formation", description="step whose load is planned and not in the base load")
    horizon_h: int = Field(default=48, ge=12, le=96, description="hours that are planned")


class Stock(PlanPart):
    """Orders spare parts, and tells which gauges are to be calibrated. Key: the part, or the gauge's machine."""

    kind: Literal["stock"] = Field(description="which way of optimising: here a newsvendor for each part")
    machine_class_column: str = Field(default="machine_class", description="column: machines that it fits")
    stock_column: str = Field(default="stock_qty", description="column: pieces at hand")
    price_column: str = Field(default="unit_price_usd", description="column: price of a piece, US$")
    lead_column: str = Field(default="lead_time_d", description="column: days from order to delivery")
    counted_column: str = Field(
        default="counted_at", description="column: when the stock was counted; the newest counts"
    )
    known_column: str = Field(default="known_at", description="column: when the count was known")
    use_table: str = Field(default="marts.spare_part_use", description="the part's key, used_at, quantity, known_at")
    calibration_table: str | None = Field(
        default="marts.calibration",
        description="as the mart of this name; none: no list",
    )
    due_within_d: float = Field(default=7.0, gt=0.0, description="days ahead within which a calibration is due")
    review_d: float = Field(default=7.0, gt=0.0, description="days between two orders")
    learn_days: float = Field(default=180.0, ge=7.0, description="days of past use that are learnt from")
    holding_ratio: float = Field(default=0.2, gt=0.0, description="of the price, for a year in the store")
    short_usd: float = Field(gt=0.0, description="cost of a piece that is missing when it is needed")
    keep: int = Field(
        default=3, ge=0, description="pieces of each part that are kept today, whatever its use: the rule"
    )
    budget_usd: float = Field(gt=0.0, description="what the orders of a day may cost together")
