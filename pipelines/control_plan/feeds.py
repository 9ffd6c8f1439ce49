"""Feeds: what the line, the laboratory and the business systems deliver, and the sources they come from."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Domain = Literal["material_inspection", "process", "test", "equipment", "energy", "planning"]
DOMAINS: tuple[Domain, ...] = ("material_inspection", "process", "test", "equipment", "energy", "planning")
EVENT_AT = "event_at"
KNOWN_AT = "known_at"
VARIANT_COLUMN = "electrode_code"
DUCKDB_TYPES = {
    "text": "VARCHAR",
    "integer": "INTEGER",
    "number": "DOUBLE",
    "float": "FLOAT",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
}


class Model(BaseModel):
    """Base of all site models: frozen, refusing unknown keys, NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class FeedColumn(Model):
    """A column of a feed that isn't a characteristic of the control plan.

    Attributes:
        type: text, integer, number (double), float, boolean or timestamp (UTC).
        nullable: whether a row without it is good.
        unit: unit of a number.
        min: smallest value that can be (inclusive), None when there is none.
        max: largest value that can be (inclusive), None when there is none.
        allowed: the only codes it may hold; empty when open.
        references: `feed.column` it must be found in, or `machine`, or `step`; empty when it refers to nothing.
    """

    type: Literal["text", "integer", "number", "float", "boolean", "timestamp"]
    nullable: bool = False
    unit: str = ""
    min: float | None = None
    max: float | None = None
    allowed: tuple[str, ...] = ()
    references: str = ""

    @property
    def duckdb_type(self) -> str:
        """DuckDB's name of the type."""
        return DUCKDB_TYPES[self.type]


class Delivery(Model):
    """Where a feed comes from: a source of site.yaml, and the format there.

    Attributes:
        source: name of the source.
        format: format there; `sql` for a table of a database.
    """

    source: str
    format: Literal["csv", "csv.gz", "parquet", "jsonl", "sql"]


class Feed(Model):
    """One stream of records.

    Attributes:
        name: `system__record`, also the raw table's name.
        shape: `wide` (a column per characteristic), `long` (characteristic_code, value, unit_code) or
            `series` (control_point_no, value).
        keys: the business key; the newest known_at of a key is the record that counts.
        columns: columns beside event_at, known_at and the characteristics.
        partition_by_day: whether the raw table of a series is partitioned by production day.
        domain: data domain whose checks stand before its readers.
        entity: what a row is about.
        delivery: where it comes from.
    """

    name: str
    domain: Domain
    entity: str
    shape: Literal["wide", "long", "series"] = "wide"
    keys: tuple[str, ...] = Field(min_length=1)
    delivery: Delivery
    columns: dict[str, FeedColumn]
    partition_by_day: bool = True

    @model_validator(mode="after")
    def _columns_fit(self) -> Feed:
        if clash := {EVENT_AT, KNOWN_AT} & self.columns.keys():
            raise ValueError(f"columns {sorted(clash)} are part of every feed and must not be listed")
        if lost := [key for key in self.keys if key != EVENT_AT and key not in self.columns]:
            raise ValueError(f"keys {lost} are not columns of the feed")
        needed = {
            "long": {"characteristic_code", "value", "unit_code"},
            "series": {"control_point_no", "value"},
        }
        if lost := sorted(needed.get(self.shape, set()) - self.columns.keys()):
            raise ValueError(f"a {self.shape} feed needs the columns {lost}")
        return self

    @property
    def event_at(self) -> str:
        """Column that says when it happened."""
        return EVENT_AT

    @property
    def known_at(self) -> str:
        """Column that says when it could be known."""
        return KNOWN_AT

    @property
    def has_variant(self) -> bool:
        """Whether rows say which electrode they are of, so that columns carry names without the variant."""
        return VARIANT_COLUMN in self.columns

    @property
    def is_partitioned(self) -> bool:
        """Whether the raw table is torn into a file per day: only long series gain from it."""
        return self.shape == "series" and self.partition_by_day

    @property
    def is_long(self) -> bool:
        """Whether a row holds one value of one characteristic."""
        return self.shape == "long"


class SourceTable(Model):
    """A table of an SQL source: the feed it delivers and its cursor.

    Attributes:
        feed: feed that the rows belong to.
        table: table or view in the database.
        cursor_column: column that only grows, of unique integers, moments or dates; a read begins after the last value
            taken in. Rows of the newest moment wait until a later one is seen.
    """

    feed: str
    table: str
    cursor_column: str


class Source(Model):
    """A system that delivers: a drop folder or any database that SQLAlchemy can reach.

    Attributes:
        url: SQLAlchemy address; `${home}` stands for the folder of the running instance.
        folder: drop folder, `${home}` likewise.
        tables: for kind `sql`, what to read incrementally.
        name: as feeds name it.
        kind: drop_folder or sql.
    """

    name: str
    kind: Literal["drop_folder", "sql"]
    url: str = ""
    folder: str = ""
    tables: tuple[SourceTable, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Source:
        if self.kind == "sql" and not (self.url and self.tables):
            raise ValueError("a source of kind sql needs url and tables")
        if self.kind == "drop_folder" and not self.folder:
            raise ValueError("a source of kind drop_folder needs folder")
        return self
