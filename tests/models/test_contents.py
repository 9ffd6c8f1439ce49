"""Nothing of a model is loaded unless each of its files is as it was registered."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.gates.judge import judge
from models.registry.aliases import promote
from models.registry.client import open_client
from models.registry.contents import BUNDLE, FILES, FILES_SEAL, UntrustedFilesError, as_text, contents, tags_of
from models.registry.signing import bundle_digest, is_sealed, seal
from models.registry.versions import Version, champion, clearance, get_version, sign_override
from models.scoring.score import score
from models.train import train
from orchestration.environment import default_site
from pipelines.control_plan.site import load_site
from pipelines.lake.connection import reader
from pipelines.lake.home import Home

GOOD = {
    "MLmodel": b"flavors: {}\n",
    "pyfunc_model.py": b"set_model(1)\n",
    "artifacts/bundle/booster_0.ubj": b"\x7b\x4c\x00\x00\x00\x00\x00\x00\x00\x01",
    "artifacts/bundle/bundle.json": b"{}",
}


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    place = tmp_path_factory.mktemp("contents")
    return _registered(Home(place / "home"), place / "model")


def _registered(home: Home, folder: Path) -> Version:
    """A version whose files are as they were registered; written anew by each example."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in GOOD.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return Version("finishing.cells", "3", "run", tags_of(home, "finishing.cells", "run", folder), str(folder), home)


@settings(max_examples=60, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(GOOD)), st.data())
def test_any_other_byte_in_any_file_is_refused_by_name(version: Version, name: str, data: st.DataObject) -> None:
    whole = _registered(version.home, version.folder)
    assert whole.bundle == whole.folder / BUNDLE
    other = data.draw(st.binary(max_size=20).filter(lambda content: content != GOOD[name]))
    (whole.folder / name).write_bytes(other)
    with pytest.raises(UntrustedFilesError) as refused:
        whole.scorer()
    told = refused.value
    assert name in told.what
    assert f"{len(GOOD[name])} bytes with SHA-256 " in told.expected
    assert told.found.startswith(f"{len(other)} bytes")
    assert "cellworks rollback finishing.cells" in told.mend
    assert "cellworks nightly --only finishing/cells" in told.mend
    assert clearance(whole.home, whole) is None


def _gone(folder: Path) -> str:
    (folder / "MLmodel").unlink()
    return "MLmodel"


def _a_folder(folder: Path) -> str:
    (folder / BUNDLE / "bundle.json").unlink()
    (folder / BUNDLE / "bundle.json").mkdir()
    return "artifacts/bundle/bundle.json"


def _one_more(folder: Path) -> str:
    (folder / BUNDLE / "more.txt").touch()
    return "artifacts/bundle/more.txt"


def _linked_package(folder: Path) -> str:
    """A package of this name would be imported before the module of the same name."""
    (folder / BUNDLE / "boosters").symlink_to(folder.parent)
    return "artifacts/bundle/boosters"


@pytest.mark.parametrize("change", [_gone, _a_folder, _one_more, _linked_package])
def test_a_file_too_few_or_too_many_is_refused_by_name(version: Version, change) -> None:
    whole = _registered(version.home, version.folder)
    name = change(whole.folder)
    with pytest.raises(UntrustedFilesError, match=name):
        whole.check()


def test_what_mlflow_and_python_leave_beside_the_files_does_not_count(version: Version) -> None:
    whole = _registered(version.home, version.folder)
    (whole.folder / "registered_model_meta").write_text("model_name: cells")
    for folder in (whole.folder, whole.folder / BUNDLE):
        (folder / "__pycache__").mkdir()
        (folder / "__pycache__" / "runtime.cpython-311.pyc").touch()
    assert whole.bundle.is_dir()


def test_a_list_that_was_changed_with_the_files_is_refused(version: Version, tmp_path: Path) -> None:
    whole = _registered(version.home, version.folder)
    (whole.folder / BUNDLE / "booster_0.ubj").write_bytes(b"hostile")
    told = as_text(contents(whole.folder))
    for forged in (
        {**whole.tags, FILES: told},
        {FILES: told},
        {FILES: told, FILES_SEAL: seal(Home(tmp_path), whole.name, whole.run_id, FILES, told)},
        {FILES: "é", FILES_SEAL: "é"},
    ):
        with pytest.raises(UntrustedFilesError, match="not written by this instance"):
            replace(whole, tags=forged).check()
    # Another run's list, sealed as it is, says nothing of this one.
    with pytest.raises(UntrustedFilesError, match="not written by this instance"):
        replace(_registered(version.home, version.folder), run_id="another").check()


def test_a_version_of_an_earlier_release_is_loaded_by_the_seal_of_its_verdict_or_not_at_all(version: Version) -> None:
    whole = _registered(version.home, version.folder)
    old = replace(whole, tags={})
    with pytest.raises(UntrustedFilesError, match="nothing says what the files of version 3") as refused:
        old.scorer()
    assert "train anew with `cellworks nightly --only finishing/cells`" in refused.value.mend
    digest = bundle_digest(whole.bundle)
    for status, cleared in (("passed", "passed"), ("failed", None)):
        sealed = seal(old.home, old.name, old.number, status, digest)
        judged = replace(old, tags={"verdict": status, "verdict_seal": sealed})
        assert judged.bundle == whole.bundle
        assert clearance(old.home, judged) == cleared
    (whole.folder / BUNDLE / "booster_0.ubj").write_bytes(b"hostile")
    with pytest.raises(UntrustedFilesError, match="nothing says"):
        judged.check()


def test_a_seal_of_any_text_is_compared(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert is_sealed(home, seal(home, "a", "é"), "a", "é")
    assert not is_sealed(home, "é", "a")


@pytest.mark.slow
def test_damage_costs_a_version_and_no_process(ctx, table_file, cells, solution, later):
    """From registration to scoring, refit, verdict and MLflow's own way of loading."""
    import mlflow

    search = {"trials": 1, "max_rounds": 20, "libraries": ["xgboost"]}
    spec = solution(table_file(cells(800)), "regression", search=search)
    for _ in range(2):
        trained = train(spec, ctx)
        assert promote(spec, ctx, judge(spec, ctx, trained)).alias == "champion"
    client = open_client(ctx)
    second = get_version(client, spec.name, "2", ctx.home)
    assert set(json.loads(second.tags[FILES])) >= {
        "MLmodel",
        "pyfunc_model.py",
        *(f"artifacts/bundle/{name}" for name in ("booster_0.ubj", "bundle.json", "runtime.py", "files.json")),
    }
    # MLflow writes a note of its own beside the files that it loads.
    mlflow.pyfunc.load_model(f"models:/{spec.name}/2")
    assert champion(ctx.home, "cells").version.number == "2"

    booster = second.bundle / "booster_0.ubj"
    booster.write_bytes(booster.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"booster_0\.ubj is damaged: expected \d+ bytes"):
        mlflow.pyfunc.load_model(str(second.folder))
    report = score(spec, replace(ctx, as_of=later))
    assert report.version == "1"
    assert "booster_0.ubj of version 2 of finishing.cells is not the file that was registered" in report.alarm
    with reader(ctx.home) as con:
        assert con.execute("SELECT alarm FROM lake.ops.model_alarm").fetchall() == [(report.alarm,)]
    with pytest.raises(UntrustedFilesError, match=r"booster_0\.ubj of version 2"):
        judge(spec, ctx, "2")
    with pytest.raises(UntrustedFilesError, match=r"booster_0\.ubj of version 2"):
        sign_override(ctx.home, spec.name, "2", "Ana", "it will do")
    healed = train(spec, ctx.with_mode("refit"))
    assert healed.mode == "search", "a refit starts from the champion's files"
    assert "booster_0.ubj of version 2" in healed.notes[0]
    assert promote(spec, ctx, judge(spec, ctx, healed)).alias == "champion"
    assert champion(ctx.home, "cells").alarm is None

    # A home of an earlier release: no lists. What was judged acts on; what was not is not loaded.
    train(spec, ctx)
    for number in ("1", "2", "3", "4"):
        for tag in (FILES, FILES_SEAL):
            client.delete_model_version_tag(spec.name, number, tag)
    assert champion(ctx.home, "cells").version.number == "3"
    with pytest.raises(UntrustedFilesError, match="nothing says what the files of version 4"):
        judge(spec, ctx, "4")
    assert train(spec, ctx.with_mode("refit")).mode == "refit"

    # Where no version is left that may act, the next that passes does not wait in the shadow.
    for number in ("1", "2", "3"):
        (get_version(client, spec.name, number, ctx.home).folder / BUNDLE / "bundle.json").write_text("{}")
    assert champion(ctx.home, "cells").version is None
    shadowed = replace(ctx, site=load_site(default_site()).model_copy(update={"shadow_nights": 2}))
    anew = promote(spec, shadowed, judge(spec, shadowed, train(spec, shadowed)))
    assert (anew.alias, anew.version) == ("champion", "6")
