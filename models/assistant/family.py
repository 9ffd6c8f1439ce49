"""The family's night: the report of every period that ended, each sentence a row; told once, it stands."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import pyarrow as pa

from models.assistant.answer import Citation, Said, Sentence, answer
from models.assistant.documents import read_documents
from models.assistant.source import Source, open_source
from models.assistant.spec import AssistantSpec, Topic
from models.context import ModelContext
from models.scoring.rule import RuleAnswers, rule_version, score_by_rule
from models.scoring.score import ScoreReport
from pipelines.lake.sql import quote_identifier, quote_relation

FORMAT = 1
"""Of what the engine makes of a YAML; part of the rule's name."""
SENTENCES = "sentence"
"""End of the name of the table with the sentences as they are read."""


def score(spec: AssistantSpec, ctx: ModelContext) -> ScoreReport:
    """Write the report of each period that ended in the last days and has none by this rule; or read documents.

    A row of `solutions.<slug>` is a sentence: `class` is `told`, or `refused` where a topic has no row to speak from;
    `value` is its first number, `reasons` every value with the rows that it is from. The text and its citations stand
    in `solutions.<slug>_sentence`. A report says what was known when it was written, at the snapshots that it names.

    Raises:
        CellworksError: a topic does not fit the lake.
    """
    if spec.documents is not None:
        return read_documents(spec, spec.documents, ctx)
    rule = spec.model_copy(update={"topics": spec.reported, "entities": {}})  # what else can be asked decides nothing
    version = rule_version(rule, FORMAT)

    def answer_now(now: datetime) -> RuleAnswers | None:
        with open_source(ctx.home, ctx.snapshot, ctx.n_threads) as source:
            if source.lacking([spec.table]):
                return None
            periods = _periods(spec, source, now, version)
            written = [_report(spec, source, period) for period in periods.to_pylist()]
            standing = _standing(spec, source, periods)
        return _told(spec, periods.schema, written, standing, now) if written or standing.num_rows else None

    return score_by_rule(rule, ctx, FORMAT, answer_now)


@dataclass(frozen=True)
class Written:
    """The report of a period.

    Attributes:
        period: its keys and `event_at`.
        said: what was said to each topic.
    """

    period: dict[str, Any]
    said: list[tuple[Topic, Said]]


def _periods(spec: AssistantSpec, source: Source, now: datetime, version: str) -> pa.Table:
    """Keys and end of each period that ended in the last days and has no report by this rule."""
    by = ", ".join(quote_identifier(name) for name in spec.reporting.by.values())
    until = quote_identifier(spec.reporting.until)
    told = f"solutions.{spec.slug}"
    has_told = not source.lacking([told])
    done = f"ANTI JOIN (SELECT * FROM {quote_relation(told)} WHERE model_version = $version) AS told USING ({by})"
    return source.con.execute(
        f"""
        SELECT periods.* FROM (
            SELECT {by}, max({until}) AS event_at FROM {quote_relation(spec.table)} GROUP BY ALL
            HAVING event_at <= $now AND event_at > $since) AS periods
        {done if has_told else ""} ORDER BY event_at
        """,
        {"now": now, "since": now - timedelta(days=spec.reporting.days)} | ({"version": version} if has_told else {}),
    ).to_arrow_table()


def _report(spec: AssistantSpec, source: Source, period: dict[str, Any]) -> Written:
    given = {name: period[column] for name, column in spec.reporting.by.items()}
    said = [(topic, answer(source, topic, spec.topics.index(topic), given, spec.solution)) for topic in spec.reported]
    return Written(period, said)


def _standing(spec: AssistantSpec, source: Source, periods: pa.Table) -> pa.Table:
    """Sentences of the reports that are not written anew."""
    table = f"solutions.{spec.slug}_{SENTENCES}"
    if source.lacking([table]):
        return pa.table({})
    source.con.register("cw_period", periods)
    by = ", ".join(quote_identifier(name) for name in spec.reporting.by.values())
    return source.con.execute(f"FROM {quote_relation(table)} ANTI JOIN cw_period USING ({by})").to_arrow_table()


def _told(
    spec: AssistantSpec, schema: pa.Schema, written: Sequence[Written], standing: pa.Table, now: datetime
) -> RuleAnswers:
    rows = [
        (each.period, topic, number, sentence)
        for each in written
        for topic, said in each.said
        for number, sentence in enumerate(said.sentences or [None], start=1)
    ]
    keys: dict[str, pa.ChunkedArray] = {
        **{
            name: pa.chunked_array([[period[name] for period, *_ in rows]], schema.field(name).type)
            for name in spec.reporting.by.values()
        },
        "topic_code": pa.chunked_array([[topic.topic for _, topic, *_ in rows]], pa.string()),
        "sentence_no": pa.chunked_array([[number for *_, number, _ in rows]], pa.int64()),
    }
    texts = pa.table(
        {
            **keys,
            "sentence": pa.array([in_words(topic, sentence) for _, topic, _, sentence in rows], pa.string()),
            "citations": pa.array([as_json(sentence, "citations") for *_, sentence in rows], pa.string()),
            "figures": pa.array([as_json(sentence, "figures") for *_, sentence in rows], pa.string()),
            "written_at": pa.array([now] * len(rows), pa.timestamp("us")),
        }
    )
    withheld = [why for each in written for _, said in each.said for why in said.withheld]
    silent = [each.period for each in written if not any(said.sentences for _, said in each.said)]
    return RuleAnswers(
        keys=keys,
        event_at=pa.array([period["event_at"] for period, *_ in rows], pa.timestamp("us")),
        answers={
            "value": [_first_number(sentence) for *_, sentence in rows],
            "class": ["refused" if sentence is None else "told" for *_, sentence in rows],
            "is_flagged": [False] * len(rows),
            "reasons": [_reasons(topic, sentence) for _, topic, _, sentence in rows],
        },
        checks={
            "cited": (not withheld, f"not said, {len(withheld)}: {withheld[0]}" if withheld else ""),
            "understood": (True, "reads no documents"),
            "spoken": (not silent, f"no row speaks of {silent[0]}, nor of {len(silent) - 1} more" if silent else ""),
        },
        current={SENTENCES: pa.concat_tables([standing, texts]) if standing.num_rows else texts},
    )


def in_words(topic: Topic, sentence: Sentence | None) -> str:
    """The sentence, or that there is none."""
    return f"Not known: {topic.lacks}." if sentence is None else sentence.text


def as_json(sentence: Sentence | None, part: Literal["citations", "figures"]) -> str:
    """Citations or figures of a sentence."""
    return json.dumps([] if sentence is None else plain(asdict(sentence)[part]), ensure_ascii=False)


def plain(value: Any) -> Any:
    """A value as JSON has it: moments and days as text, decimals as numbers."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value


def _first_number(sentence: Sentence | None) -> float | None:
    values = [each.value for each in sentence.figures] if sentence else []
    numbers = (float(each) for each in values if isinstance(each, int | float | Decimal) and not isinstance(each, bool))
    return next(numbers, None)


def _reasons(topic: Topic, sentence: Sentence | None) -> str:
    """Every value with the rows that it is from, as reasons are told."""
    if sentence is None:
        return json.dumps([{"feature": "lacks", "value": topic.lacks, "limit": "no row"}])
    rows = {each.table: source_of(each) for each in sentence.citations}
    reasons = [
        {"feature": each.column, "value": _number_or_text(each.value), "limit": rows[each.table]}
        for each in sentence.figures
    ]
    return json.dumps(reasons, ensure_ascii=False)


def source_of(citation: Citation) -> str:
    """A citation in words."""
    named = ", ".join(f"{column}={plain(value)}" for column, value in citation.where.items())
    return f"{citation.table}, {named}, snapshot {citation.snapshot}"


def _number_or_text(value: Any) -> float | str:
    return float(value) if isinstance(value, int | float | Decimal) else str(plain(value))
