"""From a question's words to a topic and what it is asked of, by declared phrases alone.

Words are compared one by one, so that a slip of the pen is forgiven and another question is not taken for this one.
Things are known by the names in the tables and by no other: `Stacker 1` is `stacker_1`, and S03 is nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from difflib import SequenceMatcher
from itertools import dropwhile
from typing import Any

from models.assistant.answer import Said, answer
from models.assistant.source import Source
from models.assistant.spec import SLOT, AssistantSpec, Entity, Topic
from pipelines.lake.sql import quote_identifier, quote_relation

ALIKE = 0.8
"""Share of letters from which two words are taken for one."""
LONGEST_NAME = 8
"""Words and numbers that a name may be of."""
_IDLE = frozenset(("a", "an", "the", "our", "please", "now", "me", "today", "currently"))
_ISO = re.compile(r"\b(?:on |for |of |at )?(\d{4}-\d{2}-\d{2})\b", re.IGNORECASE)
_PIECES = re.compile(r"[a-z]+|[0-9]+")
# As `words` does: letters and numbers apart, zeros before a number left out.
_KEY = """
    array_to_string(list_transform(
        regexp_extract_all(lower(CAST({column} AS VARCHAR)), '[a-z]+|[0-9]+'), piece -> ltrim(piece, '0')), ' ')
"""


@dataclass(frozen=True)
class Understood:
    """A question that a topic answers.

    Attributes:
        number: the topic's place in the YAML.
        given: values of its parameters.
    """

    number: int
    given: dict[str, Any]


@dataclass(frozen=True)
class NotUnderstood:
    """A question that none answers.

    Attributes:
        why: what it lacks, in a sentence.
        nearest: names that are like the one that is not known.
    """

    why: str
    nearest: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Reply:
    """What is said to a question.

    Attributes:
        topic: that it is about; None where no topic is.
        given: values of the topic's parameters.
        said: sentences; none where it is refused.
        why: what is lacking where it is refused; else empty.
        nearest: names that are like the one that is not known.
    """

    topic: Topic | None
    given: dict[str, Any]
    said: Said
    why: str = ""
    nearest: list[str] = field(default_factory=list)


def reply(question: str, spec: AssistantSpec, source: Source) -> Reply:
    """Answer a question from rows, or say what is lacking.

    Raises:
        TopicError: the topic that it is about does not fit the lake.
    """
    found = understand(question, spec, source)
    if isinstance(found, NotUnderstood):
        return Reply(None, {}, Said(), found.why, found.nearest)
    topic = spec.topics[found.number]
    said = answer(source, topic, found.number, found.given, spec.solution)
    return Reply(topic, found.given, said, "" if said.sentences else _lacking(topic, said))


def _lacking(topic: Topic, said: Said) -> str:
    missing = f"; there is no table {', '.join(said.missing)} yet" if said.missing else ""
    withheld = f"; withheld, as the cited rows say something else: {said.withheld[0]}" if said.withheld else ""
    return f"there is no row of it: {topic.lacks}{missing}{withheld}"


def words(text: str) -> list[str]:
    """Words and numbers of a text in small letters, without zeros before a number."""
    return [piece.lstrip("0") for piece in _PIECES.findall(text.lower())]


def understand(question: str, spec: AssistantSpec, source: Source) -> Understood | NotUnderstood:
    """The topic that a question is about, or why there is none.

    Args:
        question: as a person writes it.
        spec: whose phrases.
        source: where names are looked up.
    """
    days = _ISO.findall(question)
    asked = words(_ISO.sub(" ", question))
    fault: NotUnderstood | None = None
    for number, slots in _candidates(asked, spec):
        found = _given(slots, days, spec, number, source)
        if isinstance(found, dict):
            return Understood(number, found)
        fault = fault or found
    return fault or NotUnderstood("no phrase of any topic is like this question")


def _candidates(asked: Sequence[str], spec: AssistantSpec) -> list[tuple[int, dict[str, str]]]:
    """Topics with what stands in their slots, those first whose phrases say most of the words themselves."""
    found = []
    for number, topic in enumerate(spec.topics):
        for phrase in topic.asks:
            pattern = _pattern(phrase)
            for score, slots in _matches(pattern, asked):
                found.append((score, number, slots))
    return [(number, slots) for _, number, slots in sorted(found, key=lambda each: -each[0])]


def _pattern(phrase: str) -> list[str]:
    """A phrase's words without those that say nothing; a slot stays in its braces."""
    pieces = re.split(r"(\{[a-z_]+\})", phrase)
    every = [each for piece in pieces for each in ([piece] if SLOT.fullmatch(piece) else words(piece))]
    return [each for each in every if each not in _IDLE]


def _matches(pattern: Sequence[str], asked: Sequence[str]) -> Iterator[tuple[float, dict[str, str]]]:
    """Every way in which the words are those of the pattern: how alike its own words are in all, and its slots."""
    if not pattern:
        if _IDLE.issuperset(asked):
            yield 0.0, {}
        return
    head, *rest = pattern
    slot = SLOT.fullmatch(head)
    if slot is None:
        asked = list(dropwhile(_IDLE.__contains__, asked))
        if asked and (alike := _alike(head, asked[0])) >= ALIKE:
            for score, slots in _matches(rest, asked[1:]):
                yield score + alike, slots
        return
    for length in range(1, min(LONGEST_NAME, len(asked)) + 1):
        for score, slots in _matches(rest, asked[length:]):
            yield score, {slot[1]: " ".join(asked[:length])} | slots


def _alike(one: str, other: str) -> float:
    return 1.0 if one == other else SequenceMatcher(None, one, other).ratio()


def _given(
    slots: dict[str, str], days: Sequence[str], spec: AssistantSpec, number: int, source: Source
) -> dict[str, Any] | NotUnderstood:
    """Values of a topic's parameters, or why one is not known."""
    topic = spec.topics[number]
    given: dict[str, Any] = {}
    for name, written in slots.items():
        value = _named(written, name, spec.entities[name], source)
        if isinstance(value, NotUnderstood):
            return value
        given[name] = value
    periods = [name for name in topic.parameters if spec.entities[name].is_day]
    if len(days) > 1 or (days and not periods):
        allowed = "one day at most" if periods else "no day"
        return NotUnderstood(f"'{topic.topic}' is asked of {allowed}, and the question names {', '.join(days)}")
    try:
        return given | {name: date.fromisoformat(days[0]) if days else None for name in periods}
    except ValueError:
        return NotUnderstood(f"there is no day {days[0]}; days are written as 2026-09-30")


def _named(written: str, name: str, entity: Entity, source: Source) -> object:
    """The one name in the entity's column that is written so."""
    if source.lacking([entity.table]):
        return NotUnderstood(f"no {name} is known: there is no table {entity.table} yet")
    column, table = quote_identifier(entity.column), quote_relation(entity.table)
    tried = [written, " ".join(dropwhile(_IDLE.__contains__, written.split()))]
    for word in (name.replace("_", " "), *entity.called):
        before = " ".join(words(word)) + " "
        tried.extend(each.removeprefix(before) for each in tried[:2] if each.startswith(before))
    rows = source.con.execute(
        f"SELECT DISTINCT {column} FROM {table} WHERE list_contains($tried, {_KEY.format(column=column)}) LIMIT 2",
        {"tried": tried},
    ).fetchall()
    if len(rows) == 1:
        return rows[0][0]
    if rows:
        return NotUnderstood(f"'{written}' may be several: {', '.join(str(row[0]) for row in rows)}, ...")
    near = source.con.execute(
        f"""
        SELECT DISTINCT CAST({column} AS VARCHAR) AS name,
            jaro_winkler_similarity({_KEY.format(column=column)}, $wanted) AS near
        FROM {table} WHERE {column} IS NOT NULL ORDER BY near DESC, name LIMIT 3
        """,
        {"wanted": tried[-1]},
    ).fetchall()
    return NotUnderstood(f"no {name.replace('_', ' ')} is called '{tried[-1]}'", [str(row[0]) for row in near])
