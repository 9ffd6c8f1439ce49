"""Guard rails of actions: what is proposed, folded, refused and decided, on a real lake."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from duckdb import DuckDBPyConnection

from pipelines.access.identity import Person
from pipelines.access.ledger import entry_of, note_head, record, verify
from pipelines.access.rules import ADOPT, rules_of, settle
from pipelines.access.second_person import grant
from pipelines.actions.decide import decide, endorsed, list_actions
from pipelines.actions.modes import in_force, to_accept
from pipelines.actions.propose import Origin, propose
from pipelines.control_plan.access import Access
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.product import ActionPolicy
from pipelines.control_plan.site import Site, load_site
from pipelines.lake.connection import writer
from pipelines.lake.home import Home
from pipelines.lake.schemas import bootstrap

NOW = datetime(2026, 9, 5, 4, 0)  # noqa: DTZ001 - the lake holds UTC without a zone
DEMO = Path(__file__).parents[3] / "infra" / "sites" / "demo"


def said(name: str) -> Person:
    return Person(name, "unguarded", "said")


def _site(**policy: object) -> Site:
    site = load_site(DEMO)
    values = {"max_per_day": 10, "max_per_hour": 10, **policy}
    kinds = ("alarm", "setpoint_advice")
    return site.model_copy(
        update={"actions": {**site.actions, **{kind: ActionPolicy.model_validate(values) for kind in kinds}}}
    )


def _rows(count: int, priority: float = 1.0) -> pa.Table:
    return pa.table(
        {
            "target_id": [f"machine_{i}" for i in range(count)],
            "priority": [priority + i for i in range(count)],
            "reason": ["risk"] * count,
        }
    )


@pytest.fixture
def lake(tmp_path: Path, stores: str) -> Iterator[DuckDBPyConnection]:
    with writer(Home(tmp_path / "home"), why="test") as con:
        yield con


def test_each_proposal_is_advised_with_an_audit_row_by_default(lake: DuckDBPyConnection) -> None:
    report = propose(lake, _site(), Origin("watch", "alarm", NOW, "3", 7), _rows(2))
    assert (report.proposed, report.grouped, report.repeated, report.refused) == (2, 0, 0, {})
    actions = list_actions(lake)
    assert [a["target_id"] for a in actions] == ["machine_1", "machine_0"]
    assert {(a["state"], a["mode"], a["model_version"], a["lake_snapshot"]) for a in actions} == {
        ("advised", "advise", "3", 7)
    }


def test_the_same_rows_again_propose_nothing(lake: DuckDBPyConnection) -> None:
    propose(lake, _site(), Origin("watch", "alarm", NOW), _rows(3))
    again = propose(lake, _site(), Origin("watch", "alarm", NOW), _rows(3))
    assert (again.proposed, again.repeated) == (0, 3)


def test_a_target_may_be_acted_on_again_after_the_cool_down(lake: DuckDBPyConnection) -> None:
    site = _site(cooldown_s=3600, max_per_target_day=6)
    propose(lake, site, Origin("watch", "alarm", NOW), _rows(1))
    early = propose(lake, site, Origin("watch", "alarm", NOW + timedelta(minutes=59)), _rows(1))
    late = propose(lake, site, Origin("watch", "alarm", NOW + timedelta(minutes=61)), _rows(1))
    assert (early.proposed, late.proposed) == (0, 1)


@pytest.mark.parametrize("count", [300, 1_000_000])
def test_a_storm_becomes_the_most_urgent_few_and_one_that_counts_the_rest(lake: DuckDBPyConnection, count: int) -> None:
    report = propose(lake, _site(max_per_day=20, max_per_hour=20), Origin("watch", "alarm", NOW), _rows(count))
    assert (report.proposed, report.grouped) == (4, count - 4)
    actions = list_actions(lake)
    assert len(actions) == 5
    assert {a["target_id"] for a in actions} == {"*", *(f"machine_{count - no}" for no in range(1, 5))}
    assert next(a for a in actions if a["target_id"] == "*")["grouped_count"] == count - 4
    beside = propose(lake, _site(max_per_day=20, max_per_hour=20), Origin("other", "alarm", NOW), _rows(2))
    assert beside.proposed == 2, "another solution still has its say"


def test_values_that_are_no_numbers_are_refused(lake: DuckDBPyConnection) -> None:
    report = propose(lake, _site(), Origin("watch", "alarm", NOW), _rows(2, priority=float("nan")))
    assert report.proposed == 0
    assert sum(report.refused.values()) == 2


def test_a_set_point_may_move_only_as_far_as_the_control_plan_says(lake: DuckDBPyConnection) -> None:
    site = _site()
    movable = next((r for r in site.plan.rows if r.move_max is not None and r.nominal is not None), None)
    if movable is None:
        pytest.fail("the demo's control plan has no set-point that may be moved")
    assert movable.nominal is not None
    assert movable.move_max is not None
    rows = pa.table(
        {
            "target_id": ["a", "b", "c"],
            "priority": [1.0, 1.0, 1.0],
            "reason": ["", "", ""],
            "characteristic_code": [movable.code, movable.code, "no_such_thing"],
            "current_value": [movable.nominal] * 3,
            "proposed_value": [movable.nominal, movable.nominal + 1.5 * movable.move_max, movable.nominal],
        }
    )
    report = propose(lake, site, Origin("advisor", "setpoint_advice", NOW), rows)
    assert report.proposed == 1
    assert report.refused == {
        "move is larger than the control plan allows": 1,
        "the control plan allows no move of this characteristic": 1,
    }


def _moves(code: str, current: float, proposed: float) -> pa.Table:
    return pa.table(
        {
            "target_id": ["a"],
            "priority": [1.0],
            "reason": ["dry edges"],
            "characteristic_code": [code],
            "current_value": [current],
            "proposed_value": [proposed],
        }
    )


def test_moves_of_an_hour_add_up_to_no_more_than_the_control_plan_says(lake: DuckDBPyConnection) -> None:
    site = _site(max_per_target_day=10)
    row = next(r for r in site.plan.rows if r.move_max and r.move_rate_per_h and r.move_rate_per_h < 3 * r.move_max)
    assert row.nominal is not None
    assert row.move_max is not None
    assert row.move_rate_per_h is not None
    steps = int(row.move_rate_per_h / row.move_max)
    there_and_back = [row.nominal + row.move_max, row.nominal]
    for number in range(steps):
        origin = Origin("advisor", "setpoint_advice", NOW + timedelta(minutes=10 * number))
        allowed = propose(
            lake, site, origin, _moves(row.code, there_and_back[number % 2 - 1], there_and_back[number % 2])
        )
        assert allowed.proposed == 1
    last = _moves(row.code, there_and_back[steps % 2 - 1], there_and_back[steps % 2])
    too_far = propose(lake, site, Origin("advisor", "setpoint_advice", NOW + timedelta(minutes=50)), last)
    assert too_far.refused == {"moves of the last hour add up to more than the control plan allows": 1}
    later = propose(lake, site, Origin("advisor", "setpoint_advice", NOW + timedelta(hours=3)), last)
    assert later.proposed == 1


def test_a_target_is_acted_on_so_often_a_day_whoever_proposes(lake: DuckDBPyConnection) -> None:
    site = _site(max_per_target_day=2)
    for number, solution in enumerate(("one", "two", "three")):
        report = propose(lake, site, Origin(solution, "alarm", NOW + timedelta(hours=number)), _rows(1))
        assert (report.proposed, report.repeated) == ((1, 0) if number < 2 else (0, 1))
    tomorrow = propose(lake, site, Origin("three", "alarm", NOW + timedelta(days=1)), _rows(1))
    assert tomorrow.proposed == 1


def test_the_limits_of_a_kind_hold_for_all_solutions_together(lake: DuckDBPyConnection) -> None:
    site = _site(max_per_day=3, max_per_hour=3, max_per_target_day=5)
    for number, count in enumerate((1, 4, 4)):
        at = NOW + timedelta(minutes=number)
        report = propose(lake, site, Origin(f"watch_{number}", "alarm", at), _rows(count))
        assert report.proposed + bool(report.grouped) == 1
    full = propose(lake, site, Origin("late", "alarm", NOW + timedelta(minutes=3)), _rows(5))
    assert (full.proposed, full.refused) == (0, {"the limit of the hour or day is used up": 5})
    assert len(list_actions(lake)) == 3


def test_the_first_of_a_night_leaves_room_to_the_others(lake: DuckDBPyConnection) -> None:
    site = _site(max_per_day=100, max_per_hour=12, max_per_target_day=9)
    told = [propose(lake, site, Origin(name, "alarm", NOW), _rows(50)) for name in "abcdefg"]
    assert [each.proposed for each in told] == [2, 2, 1, 0, 0, 0, 0]
    assert all(each.proposed + each.grouped == 50 for each in told)
    assert len(list_actions(lake)) == 12


@pytest.mark.parametrize(
    ("mode", "state", "may_be_approved"),
    [("shadow", "shadowed", False), ("advise", "advised", True), ("approve", "awaiting_approval", True),
     ("auto", "released", False)],
)  # fmt: skip
def test_the_sites_mode_says_how_an_action_starts(
    mode: str, state: str, may_be_approved: bool, lake: DuckDBPyConnection
) -> None:
    site = _site(mode=mode)
    propose(lake, site, Origin("watch", "alarm", NOW), _rows(1))
    (action,) = list_actions(lake)
    assert (action["state"], action["mode"]) == (state, mode)
    if may_be_approved:
        assert (
            decide(lake, site, action["action_id"], "approved", who=said("li.wei"), why="seen", now=NOW)["state"]
            == "approved"
        )
    else:
        with pytest.raises(CellworksError, match="can't be approved"):
            decide(lake, site, action["action_id"], "approved", who=said("li.wei"), why="seen", now=NOW)


def test_where_two_must_approve_one_is_not_enough_and_counts_once(lake: DuckDBPyConnection) -> None:
    site = _site(approvals=2)
    propose(lake, site, Origin("watch", "alarm", NOW), _rows(2))
    first, second = (each["action_id"] for each in list_actions(lake))
    decided = decide(lake, site, first, "approved", who=said("li.wei"), why="seen on the line", now=NOW)
    assert (decided["state"], decided["approvals"], decided["approvals_needed"]) == ("endorsed", 1, 2)
    with pytest.raises(CellworksError, match=r"li\.wei has approved this action before"):
        decide(lake, site, first, "approved", who=said("li.wei"), why="once more", now=NOW)
    assert decide(lake, site, first, "approved", who=said("a.mann"), why="agreed", now=NOW)["state"] == "approved"
    decide(lake, site, second, "approved", who=said("li.wei"), why="seen on the line", now=NOW)
    assert decide(lake, site, second, "rejected", who=said("a.mann"), why="serviced", now=NOW)["state"] == "rejected"


def test_a_decision_is_appended_and_can_not_be_made_twice(lake: DuckDBPyConnection) -> None:
    site = _site()
    propose(lake, site, Origin("watch", "alarm", NOW), _rows(1))
    action_id = list_actions(lake)[0]["action_id"]
    decide(lake, site, action_id[:8], "approved", who=said("li.wei"), why="seen on the line", now=NOW)
    assert list_actions(lake)[0]["state"] == "approved"
    with pytest.raises(CellworksError, match="it is approved"):
        decide(lake, site, action_id, "rejected", who=said("li.wei"), why="changed my mind", now=NOW)
    events = lake.execute("SELECT seq, event FROM lake.ops.action_audit ORDER BY seq").fetchall()
    assert events == [(0, "advised"), (1, "approved")]


def test_where_roles_are_named_a_file_alone_gives_no_freedom_and_takes_it_at_once(tmp_path: Path) -> None:
    home, eve = Home(tmp_path / "home"), Person("eve", "admin", "operating_system")
    access = Access.model_validate({"roles": {"admin": {"people": ["eve"]}}})

    def site(**policy: object) -> Site:
        return _site(**policy).model_copy(update={"access": access})

    def now(wanted: Site) -> ActionPolicy:
        with writer(home, why="test") as con:
            return in_force(con, wanted, "alarm")

    free = site(mode="auto", max_per_day=50)
    assert now(free).mode == "advise"
    with writer(home, why="test") as con:
        propose(con, free, Origin("watch", "alarm", NOW), _rows(1))
        assert list_actions(con)[0]["state"] == "advised"
    assert grant(home, rules_of(free), "write_mode", free.name, eve, "calm", to_accept(free))
    assert now(free) == free.actions["alarm"]
    freer = site(mode="auto", max_per_day=500, valid_for_s=1e6, cooldown_s=0, approvals=0)
    assert (now(freer).max_per_day, now(freer).valid_for_s) == (50, 86400)
    tighter = site(mode="approve", max_per_day=5, cooldown_s=60, approvals=3)
    assert now(tighter) == tighter.actions["alarm"]
    assert now(_site(mode="auto", max_per_day=500)).max_per_day == 500, "without roles the file alone counts"


def test_decisions_are_acts_of_the_audit_and_one_edited_where_it_is_kept_is_found(tmp_path: Path) -> None:
    home, site = Home(tmp_path / "home"), _site()
    with writer(home, why="test") as lake:
        propose(lake, site, Origin("watch", "alarm", NOW), _rows(2))
        for action, decision in zip(list_actions(lake), ("approved", "rejected"), strict=True):
            decide(lake, site, action["action_id"], decision, who=said("li.wei"), why="seen", now=NOW)
            note_head(home, lake)
    rows, fault = verify(home)
    assert [(row.entry.act, row.entry.subject) for row in rows] == [
        ("approve_action", "machine_1"),
        ("reject_action", "machine_0"),
    ]
    assert fault is None
    with writer(home, why="a forger") as lake:
        lake.execute("UPDATE lake.ops.action_audit SET who = 'a.mann' WHERE event = 'rejected'")
    fault = verify(home)[1]
    assert fault is not None
    assert (fault.number, fault.what) == (2, "ops.action_audit tells it otherwise, or no more")


_ACTION, _EVENT = "lake.ops.action", "lake.ops.action_audit"
FORGED: dict[str, tuple[str, str]] = {
    "another value": (
        f"UPDATE {_ACTION} SET proposed_value = 99 WHERE target_id = 'machine_1'",
        "ops.action has another content than was decided on",
    ),
    "a second content": (
        f"INSERT INTO {_ACTION} SELECT * REPLACE (99 AS proposed_value) FROM {_ACTION} WHERE target_id = 'machine_0'",
        "ops.action has {open} more than once",
    ),
    "a release": (
        f"INSERT INTO {_EVENT} SELECT * REPLACE (2 AS seq, 'released' AS event) FROM {_EVENT} WHERE seq = 1",
        "ops.action_audit tells of {decided} by li.wei, and no act does",
    ),
    "a decision twice": (
        f"INSERT INTO {_EVENT} SELECT * FROM {_EVENT} WHERE event = 'approved'",
        "ops.action_audit tells of {decided} by li.wei, and no act does",
    ),
    "released from the start": (
        f"UPDATE {_EVENT} SET event = 'released' WHERE action_id NOT IN (SELECT action_id FROM {_EVENT} WHERE seq = 1)",
        "ops.action_audit tells of {open} by cellworks, and no act does",
    ),
}


@pytest.mark.parametrize("forgery", FORGED)
def test_what_was_decided_on_and_what_follows_it_can_not_be_edited_unseen(tmp_path: Path, forgery: str) -> None:
    home, site = Home(tmp_path / "home"), _site()
    with writer(home, why="test") as lake:
        propose(lake, site, Origin("watch", "alarm", NOW), _rows(2))
        decided, left = (each["action_id"] for each in list_actions(lake))
        decide(lake, site, decided, "approved", who=said("li.wei"), why="seen", now=NOW)
        note_head(home, lake)
    assert verify(home)[1] is None
    statement, what = FORGED[forgery]
    with writer(home, why="a forger") as lake:
        lake.execute(statement)
    fault = verify(home)[1]
    assert fault is not None
    assert fault.what == what.format(decided=decided[:8], open=left[:8])


def test_a_decision_of_a_release_that_kept_no_digest_stays_whole(tmp_path: Path) -> None:
    home, site = Home(tmp_path / "home"), _site()
    with writer(home, why="an earlier release") as lake:
        propose(lake, site, Origin("watch", "alarm", NOW), _rows(1))
        (action,) = list_actions(lake)
        lake.execute(
            "INSERT INTO lake.ops.action_audit VALUES (?, 1, 'approved', 'li.wei', 'seen', ?)",
            [action["action_id"], NOW],
        )
        detail = {"table": "action_audit", "action_id": action["action_id"], "seq": 1, "event": "approved"}
        record(home, lake, entry_of("approve_action", "done", "machine_0", said("li.wei"), "seen", detail))
    assert verify(home)[1] is None


def test_who_approved_under_former_rules_counts_no_more(tmp_path: Path) -> None:
    home, site = Home(tmp_path / "home"), _site(approvals=2)
    eve = Person("eve", "admin", "operating_system")

    def ruled(*admins: str) -> Site:
        access = Access.model_validate({"roles": {"admin": {"people": [*admins]}}})
        return site.model_copy(update={"access": access})

    before, after = ruled("eve", "li"), ruled("eve")
    bootstrap(home, before)
    with writer(home, why="test") as lake:
        settle(home, lake, rules_of(before), eve)
        propose(lake, before, Origin("watch", "alarm", NOW), _rows(1))
        lake.execute(
            "INSERT INTO lake.ops.ingest_offset "
            "(source, feed, fingerprint, status, note, rows_in, rows_quarantined, max_known_at, batch_id, ingested_at) "
            "VALUES ('drop', 'f', 'x', 'done', '', 0, 0, ?, 1, ?)",
            [NOW, NOW],
        )
        (action,) = list_actions(lake)
        li = Person("li", "admin", "operating_system")
        assert decide(lake, before, action["action_id"], "approved", who=li, why="seen", now=NOW)["approvals"] == 1
        assert len(endorsed(lake, before)) == 1
        record(home, lake, entry_of(ADOPT, "granted", after.name, eve, "li left", rules_of(after).detail))
        assert endorsed(lake, after) == []
        decided = decide(lake, after, action["action_id"], "approved", who=eve, why="seen", now=NOW)
        assert (decided["state"], decided["approvals"]) == ("endorsed", 1), "li's word was of the rules before"
        assert len(endorsed(lake, after)) == 1


def test_a_decision_put_in_where_it_is_kept_is_found_and_counts_as_nobodys(tmp_path: Path) -> None:
    home, site = Home(tmp_path / "home"), _site(approvals=2)
    with writer(home, why="test") as lake:
        propose(lake, site, Origin("watch", "alarm", NOW), _rows(1))
        action_id = list_actions(lake)[0]["action_id"]
        lake.execute(
            "INSERT INTO lake.ops.action_audit VALUES (?, 1, 'endorsed', 'li.wei', 'forged', ?)", [action_id, NOW]
        )
        decided = decide(lake, site, action_id, "approved", who=said("a.mann"), why="seen", now=NOW)
        note_head(home, lake)
    assert (decided["state"], decided["approvals"]) == ("endorsed", 1)
    fault = verify(home)[1]
    assert fault is not None
    assert fault.what == f"ops.action_audit tells of {action_id[:8]} by li.wei, and no act does"


def test_people_of_two_sources_are_not_two_people(lake: DuckDBPyConnection) -> None:
    site = _site(approvals=2)
    propose(lake, site, Origin("watch", "alarm", NOW), _rows(1))
    action_id = list_actions(lake)[0]["action_id"]
    decide(lake, site, action_id, "approved", who=said("li.wei"), why="seen", now=NOW)
    also_li = Person("li.wei@example.org", "approver", "https://id.example.org")
    assert decide(lake, site, action_id, "approved", who=also_li, why="seen", now=NOW)["state"] == "endorsed"
    assert decide(lake, site, action_id, "approved", who=said("a.mann"), why="seen", now=NOW)["state"] == "approved"


def test_a_kind_that_the_site_dropped_can_be_rejected_and_not_approved(lake: DuckDBPyConnection) -> None:
    site = _site(approvals=2)
    propose(lake, site, Origin("watch", "alarm", NOW), _rows(1))
    action_id, without = list_actions(lake)[0]["action_id"], site.model_copy(update={"actions": {}})
    with pytest.raises(CellworksError, match="how many must"):
        decide(lake, without, action_id, "approved", who=said("li.wei"), why="seen", now=NOW)
    assert list_actions(lake)[0]["state"] in ("advised", "awaiting_approval")
    assert decide(lake, without, action_id, "rejected", who=said("li.wei"), why="gone", now=NOW)["state"] == "rejected"


def test_an_action_that_nobody_took_in_time_has_lapsed(lake: DuckDBPyConnection) -> None:
    site = _site(valid_for_s=60)
    propose(lake, site, Origin("watch", "alarm", NOW), _rows(1))
    first = list_actions(lake)[0]["action_id"]
    late = NOW + timedelta(minutes=2)
    with pytest.raises(CellworksError, match="lapsed"):
        decide(lake, site, first, "approved", who=said("li.wei"), why="late", now=late)


def test_a_kind_without_a_policy_is_refused_with_the_file_to_mend(lake: DuckDBPyConnection) -> None:
    with pytest.raises(CellworksError, match=r"site\.yaml"):
        propose(lake, _site(), Origin("watch", "teleport", NOW), _rows(1))
