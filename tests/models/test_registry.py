"""Aliases: only cleared versions act, moves survive a kill at any step, rollback is audited."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models.drift.monitor import monitor
from models.gates.judge import judge
from models.registry import aliases as moving
from models.registry.alarms import newest_alarms
from models.registry.aliases import graduate, promote, recover
from models.registry.audit import open_moves, write_phase
from models.registry.by_person import appoint, retire, rollback
from models.registry.client import open_client
from models.registry.versions import aliases, champion, clearance, get_version, sign_override
from models.scoring.score import score
from models.train import train
from orchestration.environment import default_site
from pipelines.access.ledger import verify
from pipelines.control_plan.access import Access
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.lake.connection import reader

pytestmark = pytest.mark.slow


@pytest.fixture
def two(ctx, table_file, cells, solution):
    """Version 1 was champion, version 2 is; version 3 was never judged."""
    spec = solution(
        table_file(cells(800)), "regression", search={"trials": 1, "max_rounds": 20, "libraries": ["lightgbm"]}
    )
    for _ in range(2):
        trained = train(spec, ctx)
        assert promote(spec, ctx, judge(spec, ctx, trained)).alias == "champion"
    train(spec, ctx)
    return spec


def _audit(home):
    with reader(home) as con:
        return con.execute(
            "SELECT kind, phase, from_version, to_version, who FROM lake.ops.alias_audit ORDER BY written_at"
        ).fetchall()


def test_rollback_is_followed_audited_and_scored(two, ctx, later):
    early = replace(ctx, as_of=later)
    assert score(two, early).version == "2"
    with pytest.raises(CellworksError, match=r"version 2 of finishing\.cells is the champion itself"):
        judge(two, early, "2")
    back = rollback(ctx.home, "cells", "Ana", "scrap rose")
    assert (back.version, champion(ctx.home, "cells").version.number) == ("1", "1")
    assert _audit(ctx.home)[-2:] == [("rollback", "intent", "2", "1", "Ana"), ("rollback", "done", "2", "1", "Ana")]
    again = score(two, early)
    assert (again.version, again.rows) == ("1", 800), "the former champion scores anew, without a restart"
    forth = rollback(ctx.home, "finishing/cells", "Ana", "it was the gauge")
    assert forth.version == "2"
    assert score(two, early).rows == 800


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


def _killed_at(step, monkeypatch, client, work):
    """Run some work that is killed before its step-th write; whether it was."""
    calls = iter(range(100))

    def fatal(write):
        def wrapped(*arguments, **named):
            if next(calls) == step:
                raise Killed
            return write(*arguments, **named)

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(moving, "write_phase", fatal(moving.write_phase))
        for name in ("set_registered_model_alias", "delete_registered_model_alias", "set_model_version_tag"):
            patch.setattr(type(client), name, fatal(getattr(type(client), name)))
        try:
            work()
        except Killed:
            return True
    return False


@pytest.mark.faults
def test_a_rollback_killed_between_any_two_steps_is_finished(two, ctx, monkeypatch):
    client = open_client(ctx)
    for step in range(6):
        before = aliases(client, two.name)
        was_killed = _killed_at(step, monkeypatch, client, lambda: rollback(ctx.home, "cells", "Ana", "test"))
        assert was_killed == (step < 5), "intent, two aliases, one tag, done"
        half = open_moves(ctx.home)
        said = recover(ctx.home)
        assert len(said) == len(half) == (1 if 0 < step < 5 else 0)
        wanted = {"champion": before["previous"], "previous": before["champion"]}
        now = aliases(client, two.name)
        assert {name: now[name] for name in wanted} == (
            {name: before[name] for name in wanted} if step == 0 else wanted
        )
        assert recover(ctx.home) == [], "recovering twice changes nothing"


def test_a_move_to_a_version_that_lost_its_clearance_is_undone(two, ctx, monkeypatch):
    client = open_client(ctx)

    def killed(*_arguments):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(moving, "_apply", killed)
        with pytest.raises(Killed):
            rollback(ctx.home, "cells", "Ana", "test")
    client.set_model_version_tag(two.name, "1", "verdict", "failed")
    assert "undid" in recover(ctx.home)[0]
    assert aliases(client, two.name)["champion"] == "2"
    assert _audit(ctx.home)[-1][1] == "undone"


def test_a_rollback_between_verdict_and_promotion_keeps_the_champion(two, ctx, monkeypatch):
    client = open_client(ctx)
    verdict = judge(two, ctx, "3")
    assert verdict.passed
    assert verdict.champion == "2"
    lock, waiting = moving.writer_lock, iter([True])

    def late(*arguments, **named):
        """The promotion comes to the lock second: a rollback goes first."""
        if next(waiting, False):
            rollback(ctx.home, "cells", "Ana", "scrap rose")
        return lock(*arguments, **named)

    monkeypatch.setattr(moving, "writer_lock", late)
    for end, alias in ((promote, "challenger"), (graduate, "shadow")):
        kept = end(two, ctx, verdict)
        assert (kept.alias, kept.moved) == (alias, False)
        assert "judged against champion 2 and meanwhile version 1 reigns" in kept.sentence
    now = aliases(client, two.name)
    assert (now["champion"], now["previous"]) == ("1", "2"), "as the rollback left it"
    assert _audit(ctx.home)[-1][:2] == ("rollback", "done")
    # A verdict on the champion in force speaks again.
    assert promote(two, ctx, judge(two, ctx, "3")).alias == "champion"
    now = aliases(client, two.name)
    assert (now["champion"], now["previous"]) == ("3", "1"), "what the rollback left is what there is to go back to"


def test_a_champion_taken_away_by_hand_stays_away_until_a_person_brings_one_back(two, ctx, later):
    client = open_client(ctx)
    client.delete_registered_model_alias(two.name, "champion")
    assert score(two, replace(ctx, as_of=later)).skipped == "the champion was taken away by hand"
    assert monitor(two, ctx).skipped == "the champion was taken away by hand"
    verdict = judge(two, ctx, "3")
    assert verdict.passed
    for end, alias in ((promote, "challenger"), (graduate, "shadow")):
        kept = end(two, ctx, verdict)
        assert (kept.alias, kept.moved) == (alias, False)
        assert "the champion was taken away by hand" in kept.sentence
    assert not {"champion", "shadow"} & set(aliases(client, two.name))
    client.set_registered_model_alias(two.name, "champion", "2")
    assert champion(ctx.home, "cells").version.number == "2"
    client.delete_registered_model_alias(two.name, "champion")
    back = rollback(ctx.home, "cells", "Ana", "the line runs again")
    assert (back.version, back.sentence) == ("1", "rolled back by Ana: the line runs again")
    assert promote(two, ctx, judge(two, ctx, "3")).alias == "champion"


def test_a_person_takes_the_champion_away_and_makes_one_by_commands_that_are_audited(two, ctx, guarded, later):
    home, client = ctx.home, open_client(ctx)
    away = retire(two, guarded, "the gauge is broken", reigned="2")
    assert away.sentence == "version 2 of finishing/cells taken away by ana: the gauge is broken"
    assert score(two, replace(ctx, as_of=later)).skipped == "the champion was taken away by hand"
    with pytest.raises(CellworksError, match="have moved meanwhile"):
        retire(two, guarded, "twice", reigned="2")
    # What was taken away comes back by an audited act alone, though a move made it champion once.
    client.set_registered_model_alias(two.name, "champion", "2")
    assert champion(home, "cells", audited=True).version is None
    client.delete_registered_model_alias(two.name, "champion")
    sign_override(home, two.name, "3", "ana", "new product")
    assert appoint(two, replace(guarded, actor="li"), "3", "signed for", reigned=None).version == "3"
    assert champion(home, "cells", audited=True).version.number == "3"
    moves = [("retire", "2", None, "ana"), ("promote", None, "3", "li")]
    assert _audit(home)[-4:] == [
        (kind, phase, was, now, who) for kind, was, now, who in moves for phase in ("intent", "done")
    ]
    with reader(home) as con:
        acts = con.execute("SELECT act, phase, who FROM lake.ops.act ORDER BY number DESC LIMIT 4").fetchall()
    assert acts == [
        (act, end, who) for act, who in (("promote", "li"), ("retire", "ana")) for end in ("done", "intent")
    ]
    assert verify(home)[1] is None


def test_an_alias_moved_by_hand_is_not_followed(two, ctx, later):
    client = open_client(ctx)
    client.set_registered_model_alias(two.name, "champion", "3")
    held = champion(ctx.home, "cells")
    assert held.version.number == "2", "the last champion that was cleared"
    assert "version 3" in held.alarm
    report = score(two, replace(ctx, as_of=later))
    assert (report.version, report.alarm) == ("2", held.alarm)
    with reader(ctx.home) as con:
        assert con.execute("SELECT solution FROM lake.ops.model_alarm").fetchall() == [("finishing/cells",)]

    # With no earlier champion that is cleared, nothing acts and the alarm is raised all the same.
    for number in ("1", "2"):
        client.set_model_version_tag(two.name, number, "verdict", "failed")
    held = champion(ctx.home, "cells")
    assert held.version is None
    assert "version 3" in held.alarm
    assert "nothing is scored" in held.alarm
    report = score(two, replace(ctx, as_of=later))
    assert (report.version, report.rows, report.alarm) == (None, 0, held.alarm)
    assert "no champion that may act" in report.skipped
    assert monitor(two, ctx).version is None
    assert newest_alarms(ctx.home)[0]["alarm"] == held.alarm


@pytest.mark.faults
def test_a_verdict_written_by_hand_or_a_swapped_booster_clears_nothing(two, ctx):
    client = open_client(ctx)
    real = get_version(client, two.name, "2", ctx.home)
    for key in ("verdict", "verdict_seal"):
        client.set_model_version_tag(two.name, "3", key, real.tags[key])
    assert clearance(ctx.home, get_version(client, two.name, "3", ctx.home)) is None
    booster = real.bundle / "booster_0.txt"
    booster.write_text(booster.read_text() + "\n")
    assert clearance(ctx.home, real) is None
    assert champion(ctx.home, "cells").version.number == "1"


def test_a_signed_override_clears_and_an_edited_one_does_not(two, ctx):
    client = open_client(ctx)
    with pytest.raises(CellworksError, match="name and a reason"):
        sign_override(ctx.home, two.name, "3", "", "because")
    sign_override(ctx.home, two.name, "3", "Ana", "trial on line 2")
    client.set_registered_model_alias(two.name, "champion", "3")
    assert champion(ctx.home, "cells").version.number == "3"
    client.set_model_version_tag(two.name, "3", "override_by", "Bob")
    assert champion(ctx.home, "cells").version.number == "2"


@pytest.fixture
def guarded(ctx):
    """The context at a site that names roles."""
    site = load_site(default_site())
    access = Access.model_validate({"roles": {"approver": {"people": ["ana", "li"]}, "admin": {"people": ["eve"]}}})
    return replace(ctx, site=site.model_copy(update={"access": access, "shadow_nights": 1}), actor="ana")


def test_where_roles_are_named_an_alias_is_followed_only_as_the_audit_tells(two, ctx, guarded, later):
    client, early = open_client(ctx), replace(guarded, as_of=later)
    sign_override(ctx.home, two.name, "3", "Ana", "trial on line 2")
    for by_hand in ("3", "1"):  # signed for, passed: cleared both
        client.set_registered_model_alias(two.name, "champion", by_hand)
        assert champion(ctx.home, "cells").version.number == by_hand, "a laptop follows"
        report = score(two, early)
        assert report.version == "2"
        assert f"names version {by_hand}, which no finished move of the audit made champion" in report.alarm
        assert newest_alarms(ctx.home)[0]["alarm"] == report.alarm
    # What the gates do next to it goes by the champion that acts, and leaves that one to come back to.
    verdict = judge(two, guarded, "3")
    assert verdict.champion == "2"
    done = appoint(two, guarded, "3", "trial on line 2", reigned="1")
    assert (done.version, champion(ctx.home, "cells", audited=True)) == ("3", champion(ctx.home, "cells"))
    assert score(two, early).version == "3"
    assert aliases(client, two.name)["previous"] == "2"
    assert _audit(ctx.home)[-1] == ("promote", "done", "1", "3", "ana")
    # To take a champion away needs no second look: it takes freedom, and gives none.
    client.delete_registered_model_alias(two.name, "champion")
    assert score(two, early).skipped == "the champion was taken away by hand"


def test_a_move_that_is_not_finished_makes_no_champion_where_roles_are_named(two, ctx, monkeypatch):
    def phase(home, move, name, site=None):
        if name == "done":
            raise Killed
        write_phase(home, move, name, site)

    monkeypatch.setattr(moving, "write_phase", phase)
    with pytest.raises(Killed):
        rollback(ctx.home, "cells", "Ana", "test")
    assert aliases(open_client(ctx), two.name)["champion"] == "1"
    assert champion(ctx.home, "cells", audited=True).version.number == "2"
    monkeypatch.undo()
    recover(ctx.home)
    assert champion(ctx.home, "cells", audited=True).version.number == "1"


def test_what_was_decided_happens_only_while_the_aliases_stand_as_they_did(two, ctx, guarded):
    now = {"champion": "2", "previous": "1"}
    client = open_client(ctx)
    for moved in ("champion", "previous"):
        client.set_registered_model_alias(two.name, moved, "3")
        with pytest.raises(CellworksError, match="have moved meanwhile"):
            rollback(ctx.home, "cells", "Ana", "test", decided=now)
        client.set_registered_model_alias(two.name, moved, now[moved])
    with pytest.raises(CellworksError, match="have moved meanwhile"):
        appoint(two, guarded, "1", "test", reigned="3")
    with pytest.raises(CellworksError, match=r"version 3 of finishing\.cells may not act"):
        appoint(two, guarded, "3", "test", reigned="2")
    with pytest.raises(CellworksError, match=r"version 2 of finishing\.cells is the champion"):
        appoint(two, guarded, "2", "test", reigned="2")
    assert aliases(client, two.name) == {"challenger": "3", **now}
    assert rollback(ctx.home, "cells", "Ana", "test", decided=now).version == "1"


def test_a_solution_without_versions_has_no_champion(ctx, solution):
    assert champion(ctx.home, "cells") is None
    assert score(solution("nothing.csv"), ctx).skipped == "there is no champion yet"
    with pytest.raises(CellworksError, match="nothing to roll"):
        rollback(ctx.home, "cells", "Ana", "test")
    assert recover(ctx.home) == []


def test_who_has_no_version_to_go_back_to_is_told_what_helps_instead(two, ctx):
    open_client(ctx).delete_registered_model_alias(two.name, "previous")
    with pytest.raises(CellworksError, match="nothing to roll cells back to") as refusal:
        rollback(ctx.home, "cells", "Ana", "too many alarms")
    assert "`cellworks retire cells`" in refusal.value.mend
    assert "`cellworks promote cells VERSION`" in refusal.value.mend
