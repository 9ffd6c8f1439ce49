"""The door for an assistant's topics: what they read and cite, held against the contracts of marts, without a lake.

Other tables have no contract with types: of these the names are known here, and the columns when the topic is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import yaml

from models.assistant.answer import TopicError, look_up, rows_of
from models.assistant.source import Source
from models.assistant.spec import Answer, AssistantSpec
from models.solution import SolutionSpec
from orchestration.catalogue import line_of, solution_files
from orchestration.environment import project_root
from pipelines.lake.sql import quote_identifier, quote_relation

_MARTS = "marts."


def refuse_unknown(spec: AssistantSpec, known: Iterable[SolutionSpec]) -> None:
    """Refuse a topic that names a table or a column that there is not.

    Args:
        spec: the assistant.
        known: all solutions, whose tables there may be.

    Raises:
        TopicError: the first such name, with file, line and field.
    """
    slugs = {each.slug for each in known}
    entities = [(("entities", name, "table"), each.table) for name, each in spec.entities.items()]
    answers = [
        (("topics", number, "answers", place), each)
        for number, topic in enumerate(spec.topics)
        for place, each in enumerate(topic.answers)
    ]
    tables = {table for _, table in entities} | {table for _, each in answers for table in each.tables}
    contracts = {table: _columns(table) for table in sorted(tables) if table.startswith(_MARTS) and _is_model(table)}
    for path, table in entities:
        if fault := _fault(table, slugs):
            raise in_the_file(TopicError(path, fault, spec.solution), spec)
    with duckdb.connect(config={"threads": 1}) as con:
        source = _empty(con, contracts)
        for answer_path, each in answers:
            for table in sorted(each.tables):
                if fault := _fault(table, slugs):
                    raise in_the_file(TopicError((*answer_path, "read"), fault, spec.solution), spec)
            if all(table in contracts for table in each.tables):
                _bind(source, each, answer_path, spec)


def in_the_file(error: TopicError, spec: AssistantSpec) -> TopicError:
    """The error, with file and line of the topic's fault."""
    for stage, slug, file in solution_files():
        if (stage, slug) == (spec.stage, spec.slug):
            line = line_of(file.read_text(encoding="utf-8"), ("attributes", *error.path))
            error.where = f"{file}, line {line}: {'.'.join(map(str, error.path))}"
    return error


def _fault(table: str, slugs: set[str]) -> str:
    """Why there can be no such table; empty where there may be."""
    schema, name = table.split(".", 1)
    if schema in ("marts", "staging") and not _is_model(table):
        return f"no model of dbt is called {table}"
    if schema == "solutions" and not any(name == slug or name.startswith(f"{slug}_") for slug in slugs):
        return f"no solution writes {table}"
    return ""


def _is_model(table: str) -> bool:
    return any(_models(table, "sql"))


def _models(table: str, suffix: str) -> Iterator[Path]:
    schema, name = table.split(".", 1)
    return (project_root() / "dbt" / "models" / schema).glob(f"**/{name}.{suffix}")


def _columns(table: str) -> dict[str, str]:
    """Columns of a mart with their types, by its contract."""
    content: dict[str, Any] = yaml.load(
        next(_models(table, "yml")).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader
    )
    return {column["name"]: column["data_type"] for column in content["models"][0]["columns"]}


def _empty(con: duckdb.DuckDBPyConnection, contracts: dict[str, dict[str, str]]) -> Source:
    """A source of marts without a row."""
    con.execute("ATTACH ':memory:' AS lake")
    con.execute("CREATE SCHEMA lake.marts")
    for table, columns in contracts.items():
        body = ", ".join(f"{quote_identifier(name)} {kind}" for name, kind in columns.items())
        con.execute(f"CREATE TABLE lake.{quote_relation(table)} ({body})")
    return Source(con, {"marts": 0})


def _bind(source: Source, asked: Answer, path: tuple[str | int, ...], spec: AssistantSpec) -> None:
    """Read and cite where there is no row: only the names can be wrong."""
    source.lacking(asked.tables)
    part = "read"
    try:
        rows_of(source, asked, {})
        part = "cites"
        for cited in asked.cites:
            look_up(source, cited, dict.fromkeys(cited.named))
    except duckdb.Error as error:
        found = str(error).splitlines()[0]
        raise in_the_file(TopicError((*path, part), found, spec.solution), spec) from error
