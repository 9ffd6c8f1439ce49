"""Does an assistant say what rows say, and nothing else? Each topic is asked, and what is not there as well."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

from models.assistant.asking import NotUnderstood, reply, understand
from models.assistant.family import SENTENCES, source_of
from models.assistant.source import Source, open_source
from models.assistant.spec import SLOT, AssistantSpec, Topic
from models.scoring.table import relation
from models.solution import SolutionSpec
from orchestration.evaluation import documents
from orchestration.evaluation.citations import Found, Reread, held
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.lines import Line, verdict
from orchestration.evaluation.outcome import Evaluation
from pipelines.lake.connection import reader, threads
from pipelines.lake.home import Home
from pipelines.lake.publish import published_snapshot
from pipelines.lake.sql import quote_identifier, quote_relation
from pipelines.lake.tables import has_table

ASKED = 5
"""Things of each kind that a topic is asked of, spread evenly over their names."""
NO_DAY = "1999-01-01"
NONSENSE = (
    "why is the moon round", "what is the meaning of oee", "who won the match", "sing a song", "delete all alarms",
    "which lots did the moon come from", "how good is the weather", "what was the oee of love", "drop table marts cell",
    "why", "", "what grade has my homework", "open the door", "cost per mile", "yield to step", "top secrets",
)  # fmt: skip
"""What no topic is about."""


@dataclass(frozen=True)
class Question:
    """A question and the topic that it is of."""

    text: str
    topic: Topic


def evaluate(spec: SolutionSpec, ground: Ground) -> Evaluation:
    """Ask every topic of things that are there and of things that are not, and hold what is said against the rows."""
    own, home = cast("AssistantSpec", spec), cast("Home", ground.home)
    if own.documents is not None:
        night = ground.evidence(spec).night or {}
        return documents.evaluate(own, own.documents, home, str(night.get("champion_version")))
    published = None if own.domain is None else published_snapshot(home, own.domain)
    with open_source(home, published, threads()) as source:
        known = {name: _some(own, name, source) for name in own.entities}
        asked = list(_questions(own, known))
        mistaken = [each.text for each in asked if not _is_understood(each, own, source)]
        said, examples, silent = _answers(own, known, source)
        strange = [*NONSENSE, *_not_there(own)]
        wrongly = [text for text in strange if reply(text, own, source).said.sentences]
    reported = _reported(own, home)
    return judged(
        held([*said, *reported], Reread(home)),
        phrases=(len(asked), mistaken),
        refused=(len(strange), wrongly),
        figures={"reported_sentences": len(reported), "topics_without_a_row": silent, "examples": examples},
    )


def judged(
    found: Found, phrases: tuple[int, Sequence[str]], refused: tuple[int, Sequence[str]], figures: dict[str, Any]
) -> Evaluation:
    """Hold what was found against the lines.

    Args:
        found: sentences beside their rows.
        phrases: how many questions of topics were asked, and those that were not taken for what they are.
        refused: how many questions were asked that nothing can be said to, and those that were answered.
        figures: what else is to be known.
    """
    lines = [
        Line(
            "rows cited by each",
            f"{found.citations:,} citations of {found.sentences:,} sentences read again, {_told(found.uncited)} amiss",
            found.sentences > 0 and not found.uncited,
        ),
        Line(
            "the value of the rows",
            f"{found.figures:,} figures worked out anew, {_told(found.differing)} differ",
            found.figures > 0 and not found.differing,
        ),
        Line("no other digit", f"{_told(found.unexplained)} sentences with one", not found.unexplained),
        Line("each understood", f"{phrases[0]:,} questions of topics, {_told(phrases[1])} not", not phrases[1]),
        Line(
            "each refused", f"{refused[0]:,} questions without an answer, {_told(refused[1])} answered", not refused[1]
        ),
    ]
    return verdict(
        lines,
        metric="figures that are not those of the rows cited",
        value=float(len(found.differing)),
        baseline=None,
        threshold=0.0,
        figures={"sentences": found.sentences, "refused": refused[0] - len(refused[1]), **figures},
    )


def _told(wrong: Sequence[str]) -> str:
    return f"{len(wrong):,} ({wrong[0]})" if wrong else "0"


def _some(spec: AssistantSpec, name: str, source: Source) -> list[str]:
    """Names of a kind, evenly over all that there are."""
    entity = spec.entities[name]
    if source.lacking([entity.table]):
        return []
    column = quote_identifier(entity.column)
    rows = source.con.execute(
        f"SELECT DISTINCT CAST({column} AS VARCHAR) AS name FROM {quote_relation(entity.table)} "
        f"WHERE {column} IS NOT NULL ORDER BY name"
    ).fetchall()
    names = [str(row[0]) for row in rows]
    return names[:: max(1, len(names) // ASKED)][:ASKED]


def _questions(spec: AssistantSpec, known: dict[str, list[str]]) -> Iterator[Question]:
    """Every phrase of every topic, of one thing after another."""
    for topic in spec.topics:
        for place, phrase in enumerate(topic.asks):
            for turn in range(ASKED if SLOT.search(phrase) else 1):
                if text := _filled(phrase, known, turn + place):
                    yield Question(text, topic)


def _filled(phrase: str, known: dict[str, list[str]], turn: int) -> str:
    """A phrase with names in its places; empty where there is none of a kind."""
    if not all(known[name] for name in SLOT.findall(phrase)):
        return ""
    return SLOT.sub(lambda place: known[place[1]][turn % len(known[place[1]])], phrase)


def _is_understood(question: Question, spec: AssistantSpec, source: Source) -> bool:
    found = understand(question.text, spec, source)
    return not isinstance(found, NotUnderstood) and spec.topics[found.number] is question.topic


def _answers(
    spec: AssistantSpec, known: dict[str, list[str]], source: Source
) -> tuple[list[dict[str, Any]], list[dict[str, str]], list[str]]:
    """What each topic says, asked by its first phrase of several things and days.

    Returns:
        Sentences; the first of each topic with what was asked and the rows; and topics that found no row at all.
    """
    said: list[dict[str, Any]] = []
    examples, silent = [], []
    days = [*(name for kind, entity in spec.entities.items() if entity.is_day for name in known[kind]), ""]
    for topic in spec.topics:
        phrase, found = topic.asks[0], []
        by_day = any(spec.entities[name].is_day for name in topic.parameters)
        for turn in range(ASKED if SLOT.search(phrase) or by_day else 1):
            day = days[-1 - turn % len(days)] if by_day else ""
            if text := _filled(phrase, known, turn):
                question = f"{text} {day}".strip()
                found += [(question, each) for each in reply(question, spec, source).said.sentences]
        said += [asdict(each) for _, each in found]
        if found:
            question, first = found[0]
            examples.append({"asked": question, "said": first.text, "rows": ", ".join(map(source_of, first.citations))})
        else:
            silent.append(topic.topic)
    return said, examples, silent


def _not_there(spec: AssistantSpec) -> Iterator[str]:
    """Each topic asked of names that nothing has, and of a day that no row is of."""
    nobody = {name: ["nobody_99"] for name in spec.entities}
    for topic in spec.topics:
        for phrase in topic.asks:
            if SLOT.search(phrase):
                yield _filled(phrase, nobody, 0)
        if topic.parameters and all(spec.entities[name].is_day for name in topic.parameters):
            yield f"{topic.asks[0]} on {NO_DAY}"


def _reported(spec: AssistantSpec, home: Home) -> list[dict[str, Any]]:
    """Sentences of the newest reports."""
    table = f"{spec.slug}_{SENTENCES}"
    with reader(home) as con:
        if not has_table(con, "solutions", table):
            return []
        rows = con.execute(
            f"SELECT sentence, citations, figures FROM {relation(table)} "
            f"WHERE written_at = (SELECT max(written_at) FROM {relation(table)}) AND citations <> '[]'"
        ).fetchall()
    return [
        {"text": text, "citations": json.loads(citations), "figures": json.loads(figures)}
        for text, citations, figures in rows
    ]
