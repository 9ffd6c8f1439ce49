"""What is traced, as its YAML says it: a graph of kinds over tables that are there. Light: pydantic only."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from models.solution import Part, RuleSpec


class Made(Part):
    """What went into it: a column of its record that names it, and the stretch that it came from or went into."""

    kind: str = Field(description="kind of what went in: material_lot, slurry_batch, mother_roll, cell")
    column: str = Field(description="column of the record that names it")
    role: str = Field(default="", description="as what it went in, such as cathode; default: nothing")
    from_m: str | None = Field(default=None, description="column: where the stretch of it begins, in its own metres")
    to_m: str | None = Field(default=None, description="column: where it ends")
    flipped: str | None = Field(
        default=None, description="column: whether it was wound end for end, so that its own metre 0 lies at to_m"
    )
    into_from_m: str | None = Field(
        default=None,
        description="column: where the stretch of the whole begins that it went into, in the whole's metres; an empty "
        "value: where the whole begins",
    )
    into_to_m: str | None = Field(
        default=None, description="column: where that stretch ends; an empty value: where the whole ends"
    )
    within_m: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="how far off the told ends of that stretch may be, m: what lies so near one counts for both sides",
    )

    @model_validator(mode="after")
    def _both_ends(self) -> Self:
        if (self.from_m is None) != (self.to_m is None) or (self.flipped and not self.from_m):
            msg = "a stretch is told by from_m and to_m, and only a stretch can be flipped"
            raise ValueError(msg)
        if (self.into_from_m is None) != (self.into_to_m is None) or (self.within_m and not self.into_from_m):
            msg = "a stretch of the whole is told by into_from_m and into_to_m, and only its ends are off by within_m"
            raise ValueError(msg)
        if self.from_m and self.into_from_m:
            msg = "either a stretch of what went in is told or one of what it went into; found both"
            raise ValueError(msg)
        return self


class Record(Part):
    """A table whose rows tell of one kind: what it was made of, and what is worth knowing of it."""

    kind: str = Field(description="kind that the rows are of")
    table: str = Field(description="lake relation or file")
    key: str = Field(description="column that names it; several rows may, as of a batch of several lots")
    made_of: list[Made] = Field(default_factory=list, description="what went into it")
    time: str | None = Field(default=None, description="column: when it was made; a passport of the kind needs it")
    tells: list[str] = Field(default_factory=list, description="columns that say more of it, shown beside its name")


class Measured(Part):
    """A figure of the passport: of the thing itself, or over all of a kind that it is made of."""

    name: str = Field(description="what the figure is called in the passport")
    column: str = Field(description="column that holds it")
    unit: str = Field(default="", description="its unit")
    of: str = Field(description="kind whose figure it is")
    table: str = Field(description="table of that kind")
    key: str = Field(description="column that names the kind's entity")
    how: Literal["value", "mean", "min", "max", "sum"] = Field(default="value", description="how several become one")


class Passport(Part):
    """The document of each entity of a kind, checked against the JSON schema that we ship."""

    of: str = Field(description="kind whose entities get one, such as container")
    parts: list[str] = Field(default_factory=list, description="kinds of its parts that it lists by name")
    lots: str = Field(default="material_lot", description="kind of the bought lots that it lists")
    material: str = Field(default="material_code", description="column, of those that the lots tell: which material")
    complete_for: str = Field(default="cell", description="kind of part each of which must be traced to every material")
    materials: list[str] = Field(
        min_length=1, description="materials in the product, to each of which every such part must be traced"
    )
    measured: list[Measured] = Field(default_factory=list, description="figures beside those of the product")


class TraceSpec(RuleSpec):
    """One graph of what is made of what, and the passports that follow from it."""

    time: str = Field(description="column of `table`: when the entity was finished")
    records: list[Record] = Field(min_length=1, description="the tables that tell what is made of what")
    passport: Passport = Field(description="the documents that are made each night")

    @field_validator("records")
    @classmethod
    def _no_circle(cls, value: list[Record]) -> list[Record]:
        try:
            list(TopologicalSorter(_made_of(value)).static_order())
        except CycleError as error:
            msg = f"nothing is made of itself; found {' of '.join(error.args[1])}"
            raise ValueError(msg) from error
        return value

    @model_validator(mode="after")
    def _passport_is_of_known_kinds(self) -> Self:
        of = self.passport
        named = [of.of, of.lots, of.complete_for, *of.parts, *(each.of for each in of.measured)]
        if not any(record.kind == of.lots and of.material in record.tells for record in self.records):
            msg = f"no record of {of.lots} tells {of.material}, by which a passport sorts them"
            raise ValueError(msg)
        if unknown := sorted({kind for kind in named if kind not in self.kinds}):
            msg = f"no record tells of {', '.join(unknown)}; there are {', '.join(self.kinds)}"
            raise ValueError(msg)
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds from what is bought to what is sold."""
        return tuple(TopologicalSorter(_made_of(self.records)).static_order())

    @property
    def tables(self) -> list[str]:
        """See `SolutionSpec`."""
        further = [record.table for record in self.records] + [each.table for each in self.passport.measured]
        return list(dict.fromkeys([self.table, *further]))

    @property
    def named_columns(self) -> list[str]:
        """See `SolutionSpec`."""
        return list(dict.fromkeys([*super().named_columns, self.time]))

    def toward(self, direction: Literal["made_of", "went_into"]) -> Iterator[Record]:
        """Records in the order in which a walk has reached all of a kind before it goes on from it."""
        place = {kind: number for number, kind in enumerate(self.kinds)}
        yield from sorted(self.records, key=lambda each: place[each.kind], reverse=direction == "made_of")


def _made_of(records: list[Record]) -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for record in records:
        graph.setdefault(record.kind, set()).update(made.kind for made in record.made_of)
    return graph
