"""Any change of an audit is found, and its first place named."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.access.chain import START, Entry, Head, Row, first_fault, next_row, row_hash

AT = datetime(2026, 11, 27, 12)  # noqa: DTZ001 - the lake holds UTC without a zone
entries = st.builds(Entry, *[st.text(max_size=12)] * len(dataclasses.fields(Entry)))


def chain_of(told: list[Entry]) -> list[Row]:
    rows: list[Row] = []
    for place, entry in enumerate(told):
        last = Head(rows[-1].number, rows[-1].hash) if rows else None
        rows.append(next_row(last, entry, AT + timedelta(seconds=place)))
    return rows


chains = st.lists(entries, min_size=1, max_size=8).map(chain_of)


@given(rows=chains)
def test_what_was_appended_is_whole(rows: list[Row]) -> None:
    assert first_fault(rows, [Head(row.number, row.hash) for row in rows]) is None
    assert rows[0].previous_hash == START


@given(rows=chains, data=st.data())
def test_any_field_of_any_row_that_is_changed_is_found_there(rows: list[Row], data: Any) -> None:
    place = data.draw(st.integers(0, len(rows) - 1))
    row = rows[place]
    name = data.draw(
        st.sampled_from([field.name for field in dataclasses.fields(Entry)] + ["at", "previous_hash", "hash"])
    )
    if name == "at":
        shift = timedelta(microseconds=data.draw(st.integers(1, 10**12)))
        changed = dataclasses.replace(row, at=row.at + shift)
    elif name in ("previous_hash", "hash"):
        changed = dataclasses.replace(row, **{name: data.draw(st.text(max_size=64))})
    else:
        changed = dataclasses.replace(
            row, entry=dataclasses.replace(row.entry, **{name: data.draw(st.text(max_size=12))})
        )
    assume(changed != row)
    fault = first_fault([*rows[:place], changed, *rows[place + 1 :]])
    assert fault is not None
    assert fault.number == row.number


@given(rows=chains, data=st.data())
def test_a_changed_row_with_its_hash_made_anew_is_found_at_the_next_or_by_the_note(rows: list[Row], data: Any) -> None:
    place = data.draw(st.integers(0, len(rows) - 1))
    entry = data.draw(entries)
    assume(entry != rows[place].entry)
    row = rows[place]
    forged = dataclasses.replace(row, entry=entry, hash=row_hash(row.number, entry, row.at, row.previous_hash))
    fault = first_fault([*rows[:place], forged, *rows[place + 1 :]], [Head(len(rows), rows[-1].hash)])
    assert fault is not None
    assert fault.number == min(place + 2, len(rows))


@given(rows=chains, data=st.data())
def test_a_chain_written_anew_from_a_row_on_is_found_by_the_note(rows: list[Row], data: Any) -> None:
    told = [row.entry for row in rows]
    place = data.draw(st.integers(0, len(rows) - 1))
    told[place] = data.draw(entries)
    assume(told[place] != rows[place].entry)
    forged = chain_of(told)
    assert first_fault(forged) is None, "the chain alone can't tell"
    assert first_fault(forged, [Head(len(rows), rows[-1].hash)]) is not None


@given(rows=chains, data=st.data())
def test_a_row_taken_out_is_found(rows: list[Row], data: Any) -> None:
    place = data.draw(st.integers(0, len(rows) - 1))
    fault = first_fault([*rows[:place], *rows[place + 1 :]], [Head(len(rows), rows[-1].hash)])
    assert fault is not None
    assert fault.number == place + 1, "the end of a chain is missed by its note alone"


@given(rows=chains, entry=entries, data=st.data())
def test_a_row_put_in_is_found(rows: list[Row], entry: Entry, data: Any) -> None:
    place = data.draw(st.integers(0, len(rows) - 1))
    last = Head(rows[place - 1].number, rows[place - 1].hash) if place else None
    among = [*rows[:place], next_row(last, entry, AT), *rows[place:]]
    fault = first_fault(among, [Head(len(rows), rows[-1].hash)])
    assert fault is not None
    assert fault.number in (place + 1, place + 2)


@given(rows=st.lists(entries, min_size=2, max_size=8).map(chain_of), data=st.data())
def test_rows_that_changed_places_are_found(rows: list[Row], data: Any) -> None:
    first, second = sorted(data.draw(st.sets(st.integers(0, len(rows) - 1), min_size=2, max_size=2)))
    moved = list(rows)
    moved[first], moved[second] = rows[second], rows[first]
    numbered = [dataclasses.replace(row, number=place) for place, row in enumerate(moved, start=1)]
    for told in (moved, numbered):
        fault = first_fault(told)
        assert fault is not None
        assert fault.number == first + 1


def test_a_note_of_no_row_is_that_of_the_beginning_or_none() -> None:
    rows = chain_of([Entry(*"abcdefgh")])
    assert first_fault(rows, [Head(0, START)]) is None, "the first act may be there before its note"
    fault = first_fault(chain_of([Entry(*"abcdefgh")] * 2), [Head(0, START)])
    assert fault is not None
    assert fault.what == "it was noted that there is no row yet, and there are 2"
    for head in (Head(0, rows[0].hash), Head(-1, START)):
        assert first_fault(rows, [head]) is not None
