"""`ask`: a question about the plant, answered from its rows by an assistant's rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from models.assistant.spec import AssistantSpec
from orchestration.catalogue import discover, find
from orchestration.cli import console
from orchestration.plant import plant
from pipelines.control_plan.errors import CellworksError

if TYPE_CHECKING:
    from models.assistant.asking import Reply
    from models.solution import SolutionSpec


def ask(question: str, named: str | None, *, as_json: bool) -> None:
    """Print the answer with what every sentence rests on, or what is lacking and what could be asked.

    Args:
        question: in words.
        named: assistant that is asked; None: the first that there is.
        as_json: print one JSON document.

    Raises:
        CellworksError: there is no assistant or no lake, or a topic names what there is not.
    """
    from models.assistant.answer import TopicError
    from models.assistant.asking import reply
    from models.assistant.family import plain
    from models.assistant.source import open_source
    from orchestration.topics import in_the_file, refuse_unknown
    from pipelines.lake.connection import threads
    from pipelines.lake.publish import published_snapshot

    here, known = plant(), discover()
    spec = _assistant(named, known)
    refuse_unknown(spec, known)
    published = None if spec.domain is None else published_snapshot(here.home, spec.domain)
    with open_source(here.home, published, threads()) as source:
        try:
            found = _document(question, reply(question, spec, source), spec)
        except TopicError as error:
            raise in_the_file(error, spec) from error
    if as_json:
        console.tell(plain(found), "", as_json=True)
    else:
        _show(found)


def _assistant(named: str | None, known: Sequence[SolutionSpec]) -> AssistantSpec:
    """The assistant of this name; the first that there is where none is named."""
    for spec in [find(named, known)] if named else known:
        if isinstance(spec, AssistantSpec) and spec.topics:
            return spec
    raise CellworksError(
        "no such solution answers questions",
        expected="a defs.yaml of type orchestration.components.Assistant",
        found=named or "none",
        mend="write one; orchestration/defs/assistant/plant_assistant is an example",
    )


def _document(question: str, said: Reply, spec: AssistantSpec) -> dict[str, Any]:
    """What `--json` prints."""
    sentences = said.said.sentences
    return {
        "question": question,
        "topic": said.topic.topic if said.topic else None,
        "asked_of": said.given,
        "refused": not sentences,
        "answer": " ".join(each.text for each in sentences),
        "sentences": [asdict(each) for each in sentences],
        "withheld": said.said.withheld,
        "why": said.why,
        "nearest": said.nearest,
        "could_be_asked": [] if said.topic else [each.asks[0] for each in spec.topics],
    }


def _show(found: dict[str, Any]) -> None:
    if found["refused"]:
        console.line(f"Not known: {found['why']}.")
        if found["nearest"]:
            console.line(f"Names that are like it: {', '.join(found['nearest'])}.")
        if found["could_be_asked"]:
            console.line("What can be asked (a day is written as 2026-09-30):")
            for each in found["could_be_asked"]:
                console.line(each, 4)
        return
    for each in found["sentences"]:
        console.line(each["text"])
        for cited in each["citations"]:
            console.line(_rows(cited), 4, "dim")


def _rows(cited: dict[str, Any]) -> str:
    named = [f"{column} = {value}" for column, value in cited["where"].items()]
    named += [f"{column} from {value}" for column, value in cited["since"].items()]
    named += [f"{column} before {value}" for column, value in cited["before"].items()]
    rows = f"{cited['rows']:,} row{'s' * (cited['rows'] > 1)}"
    return f"{cited['table']} at snapshot {cited['snapshot']}, {rows}: {', '.join(named)}"
