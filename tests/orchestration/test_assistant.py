"""Asking through the command line, the report of a night, and the evaluation that reads every citation again."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from models.assistant.family import score
from models.assistant.source import open_source
from models.assistant.spec import AssistantSpec
from models.context import ModelContext
from orchestration.catalogue import discover, find
from orchestration.environment import default_site
from orchestration.evaluation import assistant
from orchestration.evaluation.citations import Reread, held
from orchestration.evaluation.ground import Ground
from orchestration.topics import refuse_unknown
from pipelines.control_plan.site import load_site
from pipelines.lake.connection import reader, writer
from pipelines.lake.home import Home
from pipelines.lake.publish import publish
from pipelines.lake.schemas import bootstrap

NOW = datetime(2026, 9, 3, 22)  # noqa: DTZ001 - the plant's times are naive UTC
ATTRIBUTES: dict[str, Any] = {
    "question": "Which alarms were there?",
    "table": "marts.alarm",
    "keys": ["production_day", "topic_code", "sentence_no"],
    "entities": {
        "machine": {"table": "marts.alarm", "column": "machine_id"},
        "day": {"table": "marts.alarm", "column": "production_day", "is_day": True},
    },
    "topics": [
        {
            "topic": "of_machine",
            "asks": ["alarms of {machine}"],
            "lacks": "an alarm of that machine",
            "answers": [
                {
                    "read": (
                        "SELECT machine_id, alarm_code, count(*) AS raised, max(raised_at) AS last_at FROM marts.alarm "
                        "WHERE machine_id = $machine GROUP BY ALL ORDER BY raised DESC, alarm_code"
                    ),
                    "says": "{machine_id} raised {alarm_code} {raised} times, last at {last_at}.",
                    "cites": [
                        {
                            "table": "marts.alarm",
                            "where": {"machine_id": "machine_id", "alarm_code": "alarm_code"},
                            "works_out": {"raised": {"how": "count"}, "last_at": {"how": "max", "of": "raised_at"}},
                        }
                    ],
                    "rows": 5,
                }
            ],
        },
        {
            "topic": "of_day",
            "asks": ["how many alarms were there"],
            "lacks": "an alarm of that day",
            "answers": [
                {
                    "read": (
                        "SELECT production_day, count(*) AS raised FROM marts.alarm WHERE production_day = "
                        "coalesce($day, (SELECT max(production_day) FROM marts.alarm)) GROUP BY ALL"
                    ),
                    "says": "On {production_day} there were {raised} alarms.",
                    "cites": [
                        {
                            "table": "marts.alarm",
                            "where": {"production_day": "production_day"},
                            "works_out": {"raised": {"how": "count"}},
                        }
                    ],
                }
            ],
        },
        {
            "topic": "high_of_day",
            "asks": ["how many alarms were high"],
            "lacks": "an alarm of high priority on that day",
            "answers": [
                {
                    "read": (
                        "SELECT production_day, priority_code, count(*) AS raised FROM marts.alarm "
                        "WHERE priority_code = 'high' AND production_day = $day GROUP BY ALL"
                    ),
                    "says": "{raised} of {production_day} were of {priority_code} priority.",
                    "cites": [
                        {
                            "table": "marts.alarm",
                            "where": {"production_day": "production_day", "priority_code": "priority_code"},
                            "works_out": {"raised": {"how": "count"}},
                        }
                    ],
                }
            ],
        },
    ],
    "report": {"by": {"day": "production_day"}, "until": "returned_at", "topics": ["of_day", "high_of_day"]},
}
COLUMNS = (
    "alarm_id VARCHAR, production_day DATE, machine_id VARCHAR, alarm_code VARCHAR, priority_code VARCHAR, "
    "raised_at TIMESTAMP, acknowledged_at TIMESTAMP, returned_at TIMESTAMP, known_at TIMESTAMP"
)


def alarms(*days: int) -> list[tuple[object, ...]]:
    """Three low alarms of a day, and a high one on the second."""
    rows: list[tuple[object, ...]] = []
    for day in days:
        for number, (machine, code) in enumerate([("stacker_1", "jam"), ("stacker_1", "jam"), ("coater_a1", "web")]):
            at = datetime(2026, 9, day, 4 + number)  # noqa: DTZ001 - see NOW
            priority = "high" if day == 2 and number == 2 else "low"
            rows.append((f"A{day}{number}", at.date(), machine, code, priority, at, at, at + timedelta(hours=1), at))
    return rows


def raised(home: Home, rows: list[tuple[object, ...]]) -> None:
    with writer(home, why="test") as con:
        con.execute("CREATE SCHEMA IF NOT EXISTS lake.marts")
        con.execute(f"CREATE TABLE IF NOT EXISTS lake.marts.alarm ({COLUMNS})")
        con.executemany("INSERT INTO lake.marts.alarm VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


def written(folder: Path, attributes: dict[str, Any]) -> Path:
    """The folder `mine/alarms` in an instance's home."""
    file = folder / "home" / "solutions" / "mine" / "alarms" / "defs.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {"type": "orchestration.components.Assistant", "attributes": attributes}
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An instance with alarms of two days."""
    made = Home(tmp_path / "home").ensure()
    raised(made, alarms(1, 2))
    return made


SPEC = AssistantSpec.model_validate({"stage": "mine", "slug": "alarms", **ATTRIBUTES})


def test_a_question_is_answered_with_its_rows(here: Callable[..., Any], home: Home, tmp_path: Path) -> None:
    written(tmp_path, ATTRIBUTES)
    done = here("ask", "Alarms of stacker 1?", "--of", "mine/alarms", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["topic"], told["refused"]) == ("of_machine", False)
    assert told["answer"] == "stacker_1 raised jam 4 times, last at 2026-09-02 05:00."
    (cited,) = told["sentences"][0]["citations"]
    assert (cited["table"], cited["rows"]) == ("marts.alarm", 4)
    found = held(told["sentences"], Reread(home))
    assert (found.uncited, found.differing, found.unexplained) == ([], [], [])
    shown = here("ask", "alarms of stacker_1", "--of", "mine/alarms").stdout
    assert f"marts.alarm at snapshot {cited['snapshot']}, 4 rows: machine_id = stacker_1, alarm_code = jam" in shown


def test_rows_that_no_check_has_passed_are_not_spoken_of(here: Callable[..., Any], home: Home, tmp_path: Path) -> None:
    written(tmp_path, ATTRIBUTES | {"domain": "kpi"})
    bootstrap(home, load_site(default_site()))
    with writer(home, why="test") as con:
        published = publish(con, "kpi", "a run")
    raised(home, alarms(3))
    told = json.loads(here("ask", "alarms of stacker_1", "--of", "mine/alarms", "--json").stdout)
    assert told["answer"] == "stacker_1 raised jam 4 times, last at 2026-09-02 05:00."
    assert told["sentences"][0]["citations"][0]["snapshot"] == published


def test_what_cannot_be_answered_is_told_with_what_could_be_asked(
    here: Callable[..., Any], home: Home, tmp_path: Path
) -> None:
    assert home.catalogue.is_file()
    written(tmp_path, ATTRIBUTES)
    told = json.loads(here("ask", "why is the moon round", "--of", "mine/alarms", "--json").stdout)
    assert (told["refused"], told["answer"], told["sentences"]) == (True, "", [])
    assert told["could_be_asked"] == ["alarms of {machine}", "how many alarms were there", "how many alarms were high"]
    shown = here("ask", "alarms of stacker S03", "--of", "mine/alarms").stdout
    assert "no machine is called 'stacker s 3'" in shown
    assert "stacker_1" in shown
    none = json.loads(here("ask", "how many alarms were there on 1999-01-01", "--of", "mine/alarms", "--json").stdout)
    assert (none["topic"], none["why"]) == ("of_day", "there is no row of it: an alarm of that day")


def test_without_a_lake_or_an_assistant_a_question_is_an_error(here: Callable[..., Any]) -> None:
    no_lake = here("ask", "oee")
    assert (no_lake.returncode, "there is no lake yet" in no_lake.stderr) == (2, True)
    no_assistant = here("ask", "oee", "--of", "equipment/oee_loss_tree")
    assert (no_assistant.returncode, "no such solution answers questions" in no_assistant.stderr) == (2, True)


@pytest.mark.parametrize(
    ("part", "value", "line", "field", "found"),
    [
        ("read", "SELECT id FROM marts.alram", "read: SELECT id FROM marts.alram", "read", "no model of dbt"),
        ("read", "SELECT id FROM marts.alarm", "read: SELECT id FROM marts.alarm", "read", '"id" not found'),
        ("read", "SELECT id FROM solutions.strange", "read: SELECT id FROM solutions", "read", "no solution writes"),
        ("cites", [{"table": "marts.alarm", "where": {"code": "alarm_id"}}], "cites:", "cites", '"code" not found'),
    ],
)
def test_a_topic_that_names_what_there_is_not_is_refused_with_its_line(
    part: str, value: object, line: str, field: str, found: str, here: Callable[..., Any], home: Home, tmp_path: Path
) -> None:
    assert home.catalogue.is_file()
    attributes = copy.deepcopy(ATTRIBUTES)
    name = "alarm_id" if part == "cites" else "id"
    attributes["topics"][1]["answers"][0] = {
        "read": "SELECT alarm_id FROM marts.alarm",
        "says": f"{{{name}}} was raised.",
        "cites": [{"table": "marts.alarm", "where": {"alarm_id": name}}],
    } | {part: value}
    attributes["report"]["topics"] = ["high_of_day"]
    file = written(tmp_path, attributes)
    done = here("ask", "how many alarms were there", "--of", "mine/alarms")
    assert done.returncode == 2
    lines = file.read_text().splitlines()
    begun = next(row for row, text in enumerate(lines) if text.strip() == "- topic: of_day")
    number = next(row for row, text in enumerate(lines[begun:], begun + 1) if text.strip(" -").startswith(line))
    assert f"{file}, line {number}: topics.1.answers.0.{field}" in done.stderr
    assert found in done.stderr
    assert "mend:" in done.stderr


def test_the_topics_of_this_project_name_what_there_is() -> None:
    known = discover()
    own = [each for each in known if isinstance(each, AssistantSpec)]
    assert own
    for each in own:
        refuse_unknown(each, known)


def reported(home: Home) -> list[tuple[Any, ...]]:
    with reader(home) as con:
        return con.execute(
            "SELECT production_day::VARCHAR, topic_code, sentence_no, class, value, sentence "
            "FROM lake.solutions.alarms "
            "JOIN lake.solutions.alarms_sentence USING (production_day, topic_code, sentence_no) ORDER BY ALL"
        ).fetchall()


def test_each_period_is_reported_once_and_its_report_stands(home: Home) -> None:
    first = score(SPEC, ModelContext(home, n_threads=1, as_of=NOW))
    assert (first.rows, first.flagged) == (4, 0)
    assert first.checks["cited"][0]
    assert first.checks["spoken"][0]
    expected = [
        ("2026-09-01", "high_of_day", 1, "refused", None, "Not known: an alarm of high priority on that day."),
        ("2026-09-01", "of_day", 1, "told", 3.0, "On 2026-09-01 there were 3 alarms."),
        ("2026-09-02", "high_of_day", 1, "told", 1.0, "1 of 2026-09-02 were of high priority."),
        ("2026-09-02", "of_day", 1, "told", 3.0, "On 2026-09-02 there were 3 alarms."),
    ]
    assert reported(home) == expected
    raised(home, alarms(2, 3))  # of the day before, late, and of a new one
    other = SPEC.model_copy(update={"topics": [*SPEC.topics[1:], SPEC.topics[0]]})
    second = score(other, ModelContext(home, n_threads=1, as_of=NOW + timedelta(days=1)))
    assert (second.rows, second.version) == (2, first.version)
    assert reported(home)[:4] == expected
    third = score(SPEC, ModelContext(home, n_threads=1, as_of=NOW + timedelta(days=1)))
    assert (third.rows, third.skipped) == (0, "no row that it has not answered for")


def test_what_an_assistant_opens_cannot_be_written(home: Home) -> None:
    with open_source(home, None, 1) as source:
        source.lacking(["marts.alarm"])
        assert source.con.execute("SELECT count(*) FROM marts.alarm").fetchall() == [(6,)]
        for statement in ("DELETE FROM lake.marts.alarm", "DELETE FROM marts.alarm", "DROP TABLE told.marts.alarm"):
            with pytest.raises(duckdb.Error):
                source.con.execute(statement)


def sentences(home: Home) -> list[dict[str, Any]]:
    score(SPEC, ModelContext(home, n_threads=1, as_of=NOW))
    return assistant._reported(SPEC, home)


def test_the_evaluation_asks_every_topic_and_reads_every_citation_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    score(SPEC, ModelContext(home, n_threads=1, as_of=NOW))
    monkeypatch.setattr(assistant, "NONSENSE", assistant.NONSENSE[:3])
    found = assistant.evaluate(SPEC, Ground(load_site(default_site()), home=home))
    assert found.verdict == "working"
    assert found.value == 0.0
    assert found.figures["reported_sentences"] == 3
    assert found.figures["sentences"] >= 6
    assert found.figures["refused"] >= 5


@pytest.mark.parametrize("fault", ["value", "text", "rows", "nowhere", "uncited"])
def test_the_evaluation_finds_what_rows_do_not_say(fault: str, home: Home) -> None:
    told = sentences(home)
    assert assistant.judged(held(told, Reread(home)), (1, []), (1, []), {}).verdict == "working"
    first = told[0]
    if fault == "value":
        number = next(each for each in first["figures"] if each["column"] == "raised")
        number["value"] += 1
    elif fault == "text":
        first["text"] += " It was 12 the day before."
    elif fault == "rows":
        first["citations"][0]["rows"] += 1
    elif fault == "nowhere":
        first["citations"][0]["where"]["production_day"] = "1999-01-01"
    else:
        first["citations"] = []
    assert assistant.judged(held(told, Reread(home)), (1, []), (1, []), {}).verdict == "failing"


def test_an_answered_nonsense_or_a_phrase_that_is_not_understood_fails(home: Home) -> None:
    found = held(sentences(home), Reread(home))
    assert assistant.judged(found, (2, ["alarms of stacker_1"]), (1, []), {}).verdict == "failing"
    assert assistant.judged(found, (2, []), (1, ["why"]), {}).verdict == "failing"


def test_the_plant_assistant_proposes_nothing() -> None:
    assert find("assistant/plant_assistant").action.kind == "report"
