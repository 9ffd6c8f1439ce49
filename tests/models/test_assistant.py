"""An assistant's door, what it makes of a question, and that it says what its rows say and nothing else."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import duckdb
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from models.assistant.answer import TopicError, answer
from models.assistant.asking import NotUnderstood, Understood, reply, understand
from models.assistant.source import Source
from models.assistant.spec import AssistantSpec
from models.families import ASSISTANT, family_of
from orchestration.catalogue import build_spec
from pipelines.control_plan.errors import CellworksError

READ = """
    SELECT machine_id, production_day, sum(made) AS made, sum(good) / sum(made) AS good_ratio, count(*) AS shifts
    FROM marts.output WHERE machine_id = $machine
        AND production_day = coalesce($day, (SELECT max(production_day) FROM marts.output))
    GROUP BY ALL ORDER BY machine_id
"""
OUTPUT: dict[str, Any] = {
    "topic": "output",
    "asks": ["output of {machine}", "how much did {machine} make"],
    "lacks": "a shift of that machine",
    "answers": [
        {
            "read": READ,
            "says": "On {production_day} {machine_id} made {made:,.1f} in {shifts} shifts, {good_ratio:.2%} good.",
            "cites": [
                {
                    "table": "marts.output",
                    "where": {"machine_id": "machine_id", "production_day": "production_day"},
                    "works_out": {
                        "made": {"how": "sum", "of": "made"},
                        "good_ratio": {"how": "ratio", "of": "good", "per": "made"},
                        "shifts": {"how": "count"},
                    },
                }
            ],
        }
    ],
}
DAYS: dict[str, Any] = {
    "topic": "days",
    "asks": ["which days are there"],
    "lacks": "a day",
    "answers": [
        {
            "read": "SELECT production_day, max(made) AS most FROM marts.output GROUP BY ALL ORDER BY production_day",
            "says": "On {production_day} the most was {most:.3f}.",
            "cites": [
                {
                    "table": "marts.output",
                    "where": {"production_day": "production_day"},
                    "works_out": {"most": {"how": "max", "of": "made"}},
                }
            ],
            "rows": 20,
        }
    ],
}
ATTRIBUTES: dict[str, Any] = {
    "question": "?",
    "table": "marts.output",
    "keys": ["production_day", "topic_code", "sentence_no"],
    "entities": {
        "machine": {"table": "marts.output", "column": "machine_id"},
        "day": {"table": "marts.output", "column": "production_day", "is_day": True},
    },
    "topics": [OUTPUT, DAYS],
    "report": {"by": {"day": "production_day"}, "until": "ended_at", "topics": ["days"]},
}
FIRST, SECOND = date(2026, 9, 1), date(2026, 9, 2)
ROWS = [
    ("stacker_1", FIRST, 100.0, 97.0),
    ("stacker_1", FIRST, 50.5, 50.0),
    ("stacker_1", SECOND, 80.0, 80.0),
    ("coater_a1", SECOND, 1200.0, 1100.0),
]


def spec_of(attributes: dict[str, Any]) -> AssistantSpec:
    text = yaml.safe_dump({"type": "orchestration.components.Assistant", "attributes": attributes}, sort_keys=False)
    found = build_spec(ASSISTANT, ("a", "b"), yaml.safe_load(text)["attributes"], "a/b/defs.yaml", text)
    assert isinstance(found, AssistantSpec)
    return found


@contextmanager
def source_of(rows: list[tuple[str, date, float, float]]) -> Iterator[Source]:
    with duckdb.connect(config={"threads": 1}) as con:
        for lake in ("lake", "told"):
            con.execute(f"ATTACH ':memory:' AS {lake}")
        con.execute("CREATE SCHEMA lake.marts")
        con.execute(
            "CREATE TABLE lake.marts.output (machine_id VARCHAR, production_day DATE, made DOUBLE, good DOUBLE)"
        )
        if rows:
            con.executemany("INSERT INTO lake.marts.output VALUES (?, ?, ?, ?)", rows)
        yield Source(con, {"marts": 7, "solutions": 8})


@pytest.fixture(scope="module")
def source() -> Iterator[Source]:
    with source_of(ROWS) as opened:
        yield opened


SPEC = spec_of(ATTRIBUTES)


def changed(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    attributes = copy.deepcopy(ATTRIBUTES)
    change(attributes)
    return attributes


def answer_with(**parts: Any) -> Callable[[dict[str, Any]], None]:
    return lambda attributes: attributes["topics"][0]["answers"][0].update(parts)


def cite_with(**parts: Any) -> Callable[[dict[str, Any]], None]:
    return lambda attributes: attributes["topics"][0]["answers"][0]["cites"][0].update(parts)


def topic_with(**parts: Any) -> Callable[[dict[str, Any]], None]:
    return lambda attributes: attributes["topics"][0].update(parts)


@pytest.mark.parametrize(
    ("change", "field", "told"),
    [
        (answer_with(read="DELETE FROM marts.output"), "read", "one SELECT"),
        (answer_with(read=READ + "; SELECT 1 AS x FROM marts.output"), "read", "2 statements"),
        (answer_with(read="SELEKT machine_id FROM marts.output"), "read", "syntax error"),
        (answer_with(read="SELECT * FROM marts.output"), "read", "no \\*"),
        (answer_with(read="SELECT sum(made) FROM marts.output"), "read", "has a name"),
        (answer_with(read="SELECT made FROM raw.mes__stacking"), "read", "raw.mes__stacking"),
        (answer_with(read="SELECT made FROM lake.marts.output"), "read", "lake.marts.output"),
        (answer_with(read="SELECT made FROM output"), "read", "named schema.table"),
        (answer_with(read="SELECT made FROM 'made.csv'"), "read", "made.csv"),
        (answer_with(read="SELECT made FROM read_csv('made.csv')"), "read", "no functions"),
        (answer_with(read="SELECT made FROM marts.output AT (VERSION => 3)"), "read", "snapshot"),
        (answer_with(read="SELECT 1 AS made"), "read", "at least one table"),
        (answer_with(says="{machine_id} made {nothing}."), "says", "selects no nothing"),
        (answer_with(says="{machine_id} made 12 pieces."), "says", "no digit of its own"),
        (answer_with(says="{machine_id.__class__} made."), "says", "braces hold a column"),
        (answer_with(says="Nothing."), "says", "at least one column"),
        (cite_with(where={"machine_id": "machine"}), "cites", "selects no machine"),
        (cite_with(works_out={}), "cites", "not cited: good_ratio, made, shifts"),
        (cite_with(table="raw.output"), "table", "raw.output"),
        (cite_with(works_out={"made": {"how": "sum"}}), "made", "names `of`"),
        (topic_with(asks=["output of {maschine}"]), "topics", "no entity is called maschine"),
        (topic_with(asks=["what is the output"]), "topics", "machine; found 'what is the output'"),
        (topic_with(topic="days"), "topics", "found twice: days"),
        (topic_with(asks=["output of {machine}"] * 2), "topics", "each phrase asks one thing"),
        (lambda each: each["report"].update(topics=["shift"]), "attributes", "no topic that there is: shift"),
        (lambda each: each["report"].update(topics=["output"]), "attributes", "cannot fill machine"),
        (lambda each: each.update(keys=["production_day"]), "attributes", "topic_code, sentence_no"),
    ],
)
def test_a_wrong_topic_is_refused_with_file_line_and_field(
    change: Callable[[dict[str, Any]], None], field: str, told: str
) -> None:
    with pytest.raises(CellworksError, match=told) as refused:
        spec_of(changed(change))
    message = str(refused.value)
    assert re.search(r"a/b/defs\.yaml, line \d+", message)
    assert field in message
    text = yaml.safe_dump({"type": "x", "attributes": changed(change)}, sort_keys=False).splitlines()
    line = int(re.findall(r"line (\d+): ", message)[-1])
    assert 1 <= line <= len(text)
    if field in ("read", "says", "cites"):
        assert text[line - 1].strip().startswith(("- " if field == "read" else "") + field)


def test_a_column_that_the_lake_does_not_have_is_told_with_its_place(source: Source) -> None:
    wrong = spec_of(changed(cite_with(works_out={"made": {"how": "sum", "of": "cells"}, "good_ratio": {"of": "good"},
                                                 "shifts": {"how": "count"}})))  # fmt: skip
    with pytest.raises(TopicError, match="a topic cannot be read") as refused:
        answer(source, wrong.topics[0], 0, {"machine": "stacker_1"}, "a/b")
    assert refused.value.path == ("topics", 0, "answers", 0, "cites")
    assert "cells" in refused.value.found


def test_the_rows_are_said_with_what_they_rest_on(source: Source) -> None:
    found = reply("How much did Stacker 1 make on 2026-09-01?", SPEC, source)
    assert found.why == ""
    (sentence,) = found.said.sentences
    assert sentence.text == "On 2026-09-01 stacker_1 made 150.5 in 2 shifts, 97.67% good."
    (cited,) = sentence.citations
    assert (cited.table, cited.snapshot, cited.rows) == ("marts.output", 7, 2)
    assert cited.where == {"machine_id": "stacker_1", "production_day": FIRST}
    assert {each.column: each.value for each in sentence.figures}["made"] == 150.5


@pytest.mark.parametrize(
    ("question", "machine"),
    [
        ("output of stacker_1", "stacker_1"),
        ("Please: the OUTPUT of the machine Stacker 01 now?", "stacker_1"),
        ("ouptut of stacker 1", "stacker_1"),
        ("output of coater A1", "coater_a1"),
    ],
)
def test_a_question_is_understood_as_people_write_it(question: str, machine: str, source: Source) -> None:
    assert understand(question, SPEC, source) == Understood(0, {"machine": machine, "day": None})


@pytest.mark.parametrize(
    ("question", "why"),
    [
        ("output of stacker S03", "no machine is called 'stacker s 3'"),
        ("output of stacker_1'; DROP TABLE marts.output; --", "no machine is called"),
        ("which days were there", "no phrase"),
        ("which nights are there", "no phrase"),
        ("output", "no phrase"),
        ("", "no phrase"),
        ("which days are there on 2026-09-01", "asked of no day"),
        ("output of stacker 1 on 2026-09-01 and 2026-09-02", "no machine|at most"),
        ("output of stacker 1 on 2026-13-01", "no day 2026-13-01"),
    ],
)
def test_what_is_not_there_is_refused(question: str, why: str, source: Source) -> None:
    found = reply(question, SPEC, source)
    assert re.search(why, found.why)
    assert found.said.sentences == []
    assert source.con.execute("SELECT count(*) FROM lake.marts.output").fetchall() == [(4,)]


def test_a_name_that_is_not_known_is_told_with_those_that_are_like_it(source: Source) -> None:
    found = understand("output of stacker 7", SPEC, source)
    assert isinstance(found, NotUnderstood)
    assert found.nearest[0] == "stacker_1"


def test_a_topic_without_a_row_says_what_is_lacking(source: Source) -> None:
    found = reply("output of stacker 1 on 1999-01-01", SPEC, source)
    assert (found.said.sentences, found.why) == ([], "there is no row of it: a shift of that machine")


def test_a_table_that_nobody_has_written_yet_is_told(source: Source) -> None:
    told = {"read": "SELECT id FROM solutions.later", "says": "{id}", "cites": [
        {"table": "solutions.later", "where": {"id": "id"}}]}  # fmt: skip
    later = spec_of(changed(lambda each: each["topics"][1].update(answers=[told])))
    assert "there is no table solutions.later yet" in reply("which days are there", later, source).why


def test_a_figure_that_is_not_that_of_its_rows_is_not_said(source: Source) -> None:
    works_out = copy.deepcopy(OUTPUT["answers"][0]["cites"][0]["works_out"]) | {"made": {"how": "max", "of": "made"}}
    wrong = spec_of(changed(cite_with(works_out=works_out)))
    found = reply("output of stacker 1 on 2026-09-01", wrong, source)
    assert found.said.sentences == []
    assert found.said.withheld == ["made is 150.5, but 100.0 by the 2 rows cited of marts.output"]


def test_an_assistant_reads_and_nothing_else() -> None:
    assert family_of(SPEC).parts == ("predictions",)
    with source_of(ROWS) as opened:
        opened.lacking(["marts.output"])
        with pytest.raises(duckdb.Error):
            opened.con.execute("INSERT INTO marts.output VALUES ('x', NULL, 1, 1)")


ROW = st.tuples(
    st.sampled_from(["stacker_1", "stacker_2", "coater_a1"]),
    st.sampled_from([FIRST, SECOND]),
    st.floats(0.01, 1e6),
    st.floats(0, 1e6),
)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(ROW, max_size=12),
    machine=st.sampled_from(["stacker_1", "stacker_2"]),
    day=st.sampled_from([FIRST, SECOND]),
)
def test_numbers_in_a_sentence_are_those_of_the_rows_that_it_cites(
    rows: list[tuple[str, date, float, float]], machine: str, day: date
) -> None:
    with source_of(rows) as opened:
        said = reply(f"output of {machine} on {day}", SPEC, opened).said
        others = reply("which days are there", SPEC, opened).said
    own = [row for row in rows if row[0] == machine and row[1] == day]
    assert not said.withheld
    assert len(said.sentences) == bool(own)
    for sentence in said.sentences:
        named = re.fullmatch(r"On (\S+) (\S+) made ([\d,.]+) in (\d+) shifts, ([\d.]+)% good\.", sentence.text)
        assert named is not None
        made, good = sum(row[2] for row in own), sum(row[3] for row in own)
        assert named.groups()[:2] == (str(day), machine)
        assert float(named[3].replace(",", "")) == pytest.approx(made, abs=0.0501)
        assert int(named[4]) == len(own) == sentence.citations[0].rows
        assert float(named[5]) == pytest.approx(100 * good / made, abs=0.00501, rel=1e-9)
    most = {each: max(row[2] for row in rows if row[1] == each) for each in {row[1] for row in rows}}
    assert [each.text for each in others.sentences] == [
        f"On {each} the most was {most[each]:.3f}." for each in sorted(most)
    ]
