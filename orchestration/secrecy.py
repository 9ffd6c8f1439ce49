"""Secrets out of what Dagster keeps, shows and hands on: its errors, its events, and what its processes print.

Every error becomes text at one place of Dagster's, before it is an event, a tick, an answer over gRPC or GraphQL, or a
line on the terminal; messages, descriptions and metadata are told to the instance. `orchestration.definitions` calls
`hide` where our code is loaded, and the instance file names `HidingInstance`, which does so in every other process of
Dagster's.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

# Dagster has no public door for the text of errors; the version is pinned, and a test fails where these move.
from dagster._core.instance.ref import InstanceRef
from dagster._serdes import deserialize_value, serialize_value
from dagster_shared.error import SerializableErrorInfo

from orchestration.output import hide_in_output
from pipelines.lake.redaction import Redaction

if TYPE_CHECKING:
    from dagster._core.events import DagsterEventBatchMetadata
    from dagster._core.events.log import EventLogEntry

_FREE_TEXT: Final = {
    "EventLogEntry": ("user_message",),
    "DagsterEvent": ("message",),
    "UserFailureData": ("description",),
    "SerializableErrorInfo": ("message", "stack"),
    "AssetMaterialization": ("description",),
    "AssetObservation": ("description",),
    "AssetCheckEvaluation": ("description",),
    "TypeCheckData": ("description",),
    "TextMetadataEntryData": ("text",),
    "MarkdownMetadataEntryData": ("md_str",),
    "JsonMetadataEntryData": ("data",),
    "UrlMetadataEntryData": ("url",),
    "PathMetadataEntryData": ("path",),
    "NotebookMetadataEntryData": ("path",),
    "TableRecord": ("data",),
}
"""Fields of an event in which people and libraries write, by the names in which Dagster stores them.

All others hold names, keys and numbers by which Dagster finds the event again; a password that is also the name of an
asset must not change them.
"""
_HIDES = "hides_secrets"


def hide() -> None:
    """Take secrets out of Dagster's errors and of this process's output from here on; harmless when it is done."""
    hide_in_output()
    if hasattr(SerializableErrorInfo, _HIDES):
        return
    as_text = SerializableErrorInfo.from_traceback

    def without_secrets(_cls: type, told: traceback.TracebackException) -> SerializableErrorInfo:
        error, hidden = as_text(told), Redaction()  # its cause and context came this way too
        return error._replace(message=hidden(error.message), stack=[hidden(frame) for frame in error.stack])

    setattr(SerializableErrorInfo, "from_traceback", classmethod(without_secrets))  # noqa: B010
    setattr(SerializableErrorInfo, _HIDES, True)


class HidingInstance(dg.DagsterInstance):
    """Dagster's instance, which keeps no secret: whatever is told to it as an event is stored without.

    Dagster's instance file names it as `instance_class`, so every process that opens the instance has it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        hide()
        super().__init__(*args, **kwargs)

    @classmethod
    def config_schema(cls) -> dict[str, Any]:
        """What the instance file may say beside Dagster's own settings: nothing."""
        return {}

    @classmethod
    def config_defaults(cls, base_dir: str) -> Mapping[str, Any]:
        """What holds where the instance file says nothing: as for Dagster's own instance."""
        return InstanceRef.config_defaults(base_dir)

    def handle_new_event(
        self, event: EventLogEntry, *, batch_metadata: DagsterEventBatchMetadata | None = None
    ) -> None:
        """Store the event without secrets, and tell it to whoever listens."""
        super().handle_new_event(without_secrets(event), batch_metadata=batch_metadata)

    def store_event(self, event: EventLogEntry) -> None:
        """Store the event without secrets."""
        super().store_event(without_secrets(event))


def without_secrets(event: EventLogEntry) -> EventLogEntry:
    """The event itself where it holds no secret, which is nearly always; else one with its free text redacted."""
    told, hidden = json.loads(serialize_value(event)), Redaction()
    shown = _in_free_text(told, hidden)
    return event if shown == told else deserialize_value(json.dumps(shown), type(event))


def _in_free_text(value: Any, hidden: Redaction) -> Any:
    if isinstance(value, list):
        return [_in_free_text(each, hidden) for each in value]
    if not isinstance(value, dict):
        return value
    free = _FREE_TEXT.get(value.get("__class__", ""), ())
    return {name: hidden.within(each) if name in free else _in_free_text(each, hidden) for name, each in value.items()}
