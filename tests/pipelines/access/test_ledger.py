"""The audit in a lake: acts, the second person, writers at once, and what a forger with SQL can't hide."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.access import anchor, ledger
from pipelines.access.chain import BEGINNING, Entry, Head
from pipelines.access.identity import Person
from pipelines.access.ledger import entry_of, record, rows_of, verify
from pipelines.access.rules import ADOPT, Rules
from pipelines.access.second_person import grant
from pipelines.control_plan.access import Access
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.connection import reader, transaction, writer
from pipelines.lake.home import Home

ANA, LI = (Person(name, "approver", "operating_system") for name in ("ana", "li"))
CHANGE = {"from": "3", "to": "2"}


def _entry(subject: str) -> Entry:
    return Entry("rollback", "granted", subject, "ana", "approver", "operating_system", "test", "{}")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("home"))
    for subject in ("a", "b", "c", "d"):
        with writer(home, why="test") as con:
            record(home, con, _entry(subject))
    return home


def test_an_untouched_audit_is_whole_and_its_last_row_is_noted(written: Home) -> None:
    rows, fault = verify(written)
    assert fault is None
    assert [row.entry.subject for row in rows] == ["a", "b", "c", "d"]
    assert anchor.read(written) == Head(4, rows[-1].hash)
    assert verify(written, (Head(2, rows[1].hash),))[1] is None
    elsewhere = verify(written, (Head(2, rows[2].hash),))[1]
    assert elsewhere is not None
    assert elsewhere.number == 2


FORGERIES: dict[str, tuple[str, int]] = {
    "changed": ("UPDATE lake.ops.act SET who = 'li' WHERE number = 2", 2),
    "in the detail": ("UPDATE lake.ops.act SET detail = '{ }' WHERE number = 3", 3),
    "a moment": ("UPDATE lake.ops.act SET written_at = written_at - INTERVAL 1 MICROSECOND WHERE number = 1", 1),
    "removed": ("DELETE FROM lake.ops.act WHERE number = 2", 2),
    "the end cut off": ("DELETE FROM lake.ops.act WHERE number > 2", 3),
    "all removed": ("DELETE FROM lake.ops.act", 1),
    "put in again": ("INSERT INTO lake.ops.act SELECT * FROM lake.ops.act WHERE number = 3", 3),
    "another order": ("UPDATE lake.ops.act SET number = 5 - number WHERE number IN (2, 3)", 2),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_a_forger_does_with_sql_is_found_at_its_first_row(written: Home, forgery: str) -> None:
    statement, number = FORGERIES[forgery]
    with writer(written, why="a forger") as con:
        con.execute("CREATE OR REPLACE TEMP TABLE kept AS SELECT * FROM lake.ops.act")
        con.execute(statement)
        try:
            fault = verify(written)[1]
        finally:
            with transaction(con):
                con.execute("DELETE FROM lake.ops.act")
                con.execute("INSERT INTO lake.ops.act SELECT * FROM kept")
    assert fault is not None
    assert fault.number == number
    assert verify(written)[1] is None


def test_the_next_act_does_not_hide_that_the_end_was_cut_off(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with writer(home, why="test") as con:
        for subject in ("a", "b"):
            record(home, con, _entry(subject))
        con.execute("DELETE FROM lake.ops.act WHERE number = 2")
        record(home, con, _entry("c"))
    fault = verify(home)[1]
    assert fault is not None
    assert fault.number == 2
    (home.root / "audit_head.json").unlink()
    with writer(home, why="test") as con:
        record(home, con, _entry("d"))
    fault = verify(home)[1]
    assert fault is not None
    assert "there is no note" in fault.what, "the act after it writes none"


@pytest.mark.parametrize("trouble", ["a full disk", "a damaged note"])
def test_an_act_whose_note_fails_is_done_and_noted_with_the_next(
    tmp_path: Path, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    home = Home(tmp_path)
    note, draft = home.root / "audit_head.json", home.root / "audit_head.json.draft"
    with writer(home, why="test") as con:
        first = record(home, con, _entry("a"))
        whole = note.read_text(encoding="utf-8")
        if trouble == "a full disk":
            draft.mkdir()
        else:
            note.write_text("{", encoding="utf-8")
        record(home, con, _entry("b"))
        assert "the next act tries again" in caplog.text
        if trouble == "a full disk":
            draft.rmdir()
        else:
            note.write_text(whole, encoding="utf-8")
        assert anchor.read(home) == Head(1, first.hash)
        assert verify(home)[1] is None
        last = record(home, con, _entry("c"))
    assert anchor.read(home) == Head(3, last.hash)
    assert [row.entry.subject for row in verify(home)[0]] == ["a", "b", "c"]


def test_whoever_is_killed_before_the_first_note_is_no_forger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as once, writer(home, why="test") as con:
        once.setattr(ledger, "note_head", killed)
        with pytest.raises(KeyboardInterrupt):
            record(home, con, _entry("a"))
    assert len(verify(home)[0]) == 1, "the act is done"
    assert verify(home)[1] is None
    with writer(home, why="test") as con:
        last = record(home, con, _entry("b"))
    assert (anchor.read(home), verify(home)[1]) == (Head(2, last.hash), None)
    (home.root / "audit_head.json").unlink()
    fault = verify(home)[1]
    assert fault is not None
    assert "there is no note" in fault.what


def test_a_note_of_no_row_does_not_hide_that_the_end_was_cut_off(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with writer(home, why="test") as con:
        for subject in ("a", "b", "c"):
            record(home, con, _entry(subject))
        con.execute("DELETE FROM lake.ops.act WHERE number = 3")
        anchor.write(home, BEGINNING)
        assert verify(home)[1] is not None
        record(home, con, _entry("d"))
    fault = verify(home)[1]
    assert fault is not None
    assert (fault.number, anchor.read(home)) == (2, BEGINNING), "the next act leaves the evidence"


def test_the_second_act_waits_for_the_note_of_the_first(tmp_path: Path) -> None:
    home, draft = Home(tmp_path), tmp_path / "audit_head.json.draft"
    with writer(home, why="test") as con:
        record(home, con, _entry("a"))
        anchor.write(home, BEGINNING)
        draft.mkdir()
        with pytest.raises(CellworksError, match="its note outside the lake can't be written"):
            record(home, con, _entry("b"))
        draft.rmdir()
        record(home, con, _entry("b"))
    assert verify(home)[1] is None


def test_no_act_begins_where_the_first_note_can_not_be_written(tmp_path: Path) -> None:
    home = Home(tmp_path)
    (home.root / "audit_head.json.draft").mkdir()
    with writer(home, why="test") as con:
        with pytest.raises(CellworksError, match="its note outside the lake can't be written"):
            record(home, con, _entry("a"))
        assert rows_of(con) == []
        (home.root / "audit_head.json.draft").rmdir()
        record(home, con, _entry("a"))
    assert verify(home)[1] is None


def test_writers_at_once_make_one_chain(tmp_path: Path) -> None:
    home = Home(tmp_path)

    def write(place: int) -> None:
        with writer(home, why="test") as con:
            record(home, con, _entry(str(place)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(8)))
    rows, fault = verify(home)
    assert fault is None
    assert sorted(row.entry.subject for row in rows) == sorted(map(str, range(8)))


def _phases(home: Home) -> list[str]:
    with reader(home) as con:
        return [row.entry.phase for row in rows_of(con)]


@pytest.fixture
def ask(tmp_path: Path, two_people: Access) -> Callable[..., bool]:
    def give(person: Person, detail: dict[str, str] = CHANGE, access: Access = two_people) -> bool:
        rules = Rules("line", access, "site.yaml")
        return grant(Home(tmp_path), rules, "rollback", "assembly.leak", person, "too many alarms", detail)

    return give


def test_a_second_person_confirms_and_the_first_can_not(tmp_path: Path, ask: Callable[..., bool]) -> None:
    assert not ask(ANA)
    with pytest.raises(CellworksError, match="waits for a second person"):
        ask(ANA)
    with pytest.raises(CellworksError, match="waits for a second person"):
        ask(replace(LI, source="said"))
    assert ask(LI)
    assert not ask(LI), "a request is good for once"
    assert _phases(Home(tmp_path)) == ["granted", "requested", "confirmed", "requested"], "the first is of the rules"
    assert verify(Home(tmp_path))[1] is None


def test_another_change_or_a_late_second_is_a_request_of_its_own(
    tmp_path: Path, ask: Callable[..., bool], two_people: Access
) -> None:
    assert not ask(ANA)
    assert not ask(LI, {"from": "4", "to": "3"})
    assert _phases(Home(tmp_path)) == ["granted", "requested", "requested"]


def test_a_request_lapses_after_its_hours_and_when_other_rules_come_into_force(
    tmp_path: Path, ask: Callable[..., bool], two_people: Access
) -> None:
    brief = two_people.model_copy(update={"request_valid_h": 1e-9})
    assert not ask(ANA, access=brief)
    assert not ask(LI, access=brief), "too late"
    home, now = Home(tmp_path), Rules("line", two_people, "site.yaml")
    with writer(home, why="test") as con:
        record(home, con, entry_of(ADOPT, "granted", "line", ANA, "test", now.detail))
    assert not ask(ANA), "the request was of other rules"
    assert ask(LI)


def test_where_one_is_enough_it_is_granted_and_kept(tmp_path: Path, ask: Callable[..., bool]) -> None:
    assert ask(ANA, CHANGE, Access())
    assert _phases(Home(tmp_path)) == ["granted"], "without roles there are no rules to keep"


def test_an_act_without_a_reason_is_none(tmp_path: Path) -> None:
    with pytest.raises(CellworksError, match="needs a reason"):
        grant(Home(tmp_path), Rules("line", Access(), "site.yaml"), "rollback", "assembly.leak", ANA, "  ", CHANGE)
