"""A solution goes from one home to another: whole, without data, and without the right to act; hostile packs don't."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.registry.client import open_home
from orchestration.catalogue import discover, find
from orchestration.packs.contents import MANIFEST, MAX_FILE_BYTES, safe_yaml
from orchestration.packs.take import import_pack
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home

Here = Callable[..., Any]
RULE = {
    "question": "Which class?",
    "table": "marts.machine_state_day",
    "keys": ["machine_id", "production_day"],
    "grading": {
        "grades": [{"name": "A", "limits": {"run_h": {"at_least": 10}}}],
        "otherwise": "C",
        "flagged": ["C"],
    },
    "action": {"kind": "alarm"},
}
LEARNER = {
    "question": "Is it bad?",
    "table": "marts.machine_hour",
    "keys": ["machine_id", "hour_at"],
    "features": {"select": ["x"]},
    "target": {"column": "y", "positive": "bad"},
    "task": "binary",
    "gates": {"min_holdout_rows": 5},
    "action": {"kind": "alarm"},
}


def _defs(family: str, attributes: dict[str, Any]) -> str:
    return yaml.safe_dump({"type": f"orchestration.components.{family}", "attributes": attributes}, sort_keys=False)


GOOD = {
    "solutions/theirs/sorted/defs.yaml": _defs("DecisionRule", RULE),
    "solutions/theirs/sorted/card.md": "# theirs/sorted\n",
}


def _pack(folder: Path, contents: dict[str, str], **changed: Any) -> Path:
    """A pack made by hand, as a stranger would."""
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in contents.items()}
    manifest = {
        "format": 1,
        "site": "far",
        "exported_at": "2026-11-27T12:00:00Z",
        "code_revision": "abc",
        "plan_hash": "def",
        "files": digests,
        **changed,
    }
    file = folder / "pack.zip"
    with zipfile.ZipFile(file, "w") as pack:
        for name, text in {MANIFEST: json.dumps(manifest), **contents}.items():
            pack.writestr(name, text)
    return file


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CELLWORKS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_from_one_home_to_another(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "home", tmp_path / "second"
    for slug, family, attributes in (("sorted", "DecisionRule", RULE), ("model", "PredictiveModel", LEARNER)):
        place = first / "solutions" / "theirs" / slug
        place.mkdir(parents=True)
        (place / "defs.yaml").write_text(_defs(family, attributes))
    told = here("pack", "export", "theirs/sorted", "theirs/model", "--to", "p.zip", "--json")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["suites"] == ["suites/marts_machine_state_day.yaml"]
    with zipfile.ZipFile(tmp_path / "p.zip") as pack:
        assert "No version was promoted" in pack.read("solutions/theirs/model/card.md").decode()
        assert str(tmp_path) not in "".join(pack.read(name).decode() for name in pack.namelist())

    monkeypatch.setenv("CELLWORKS_HOME", str(second))
    assert here("pack", "import", "p.zip").returncode == 2
    assert here("init", "--site", "infra/sites/north").returncode == 0
    told = here("pack", "import", "p.zip", "--site", "infra/sites/north", "--json")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["solutions"] == [
        {"solution": "theirs/model", "withheld": None, "gates": ["min_holdout_rows 5, not 30"]},
        {"solution": "theirs/sorted", "withheld": "alarm", "gates": []},
    ]
    known = discover()
    assert find("theirs/sorted", known).action.kind == "report"
    # What learns keeps its action: without a version that passed its gates here nothing is scored and nothing proposed.
    assert find("theirs/model", known).action.kind == "alarm"
    assert (second / "solutions/theirs/sorted/suites/marts_machine_state_day.yaml").is_file()
    acts = json.loads(here("audit", "list", "--json").stdout)
    assert "pack_import" in json.dumps(acts)
    again = here("pack", "import", "p.zip", "--site", "infra/sites/north")
    assert (again.returncode, "is there already" in again.stderr) == (2, True)


def test_an_export_holds_no_data_and_overwrites_nothing(here: Here, tmp_path: Path) -> None:
    place = tmp_path / "home" / "solutions" / "mine" / "filed"
    place.mkdir(parents=True)
    (place / "defs.yaml").write_text(_defs("DecisionRule", {**RULE, "table": "/data/rows.csv"}))
    told = here("pack", "export", "mine/filed", "--to", "p.zip")
    assert (told.returncode, "a pack holds no data" in told.stderr) == (2, True)
    assert not (tmp_path / "p.zip").exists()
    (tmp_path / "p.zip").write_text("mine")
    (place / "defs.yaml").write_text(_defs("DecisionRule", RULE))
    assert here("pack", "export", "mine/filed", "--to", "p.zip").returncode == 2
    assert (tmp_path / "p.zip").read_text() == "mine"


def _with(text: str, name: str = "solutions/theirs/sorted/defs.yaml") -> dict[str, str]:
    return {**GOOD, name: text}


@pytest.mark.parametrize(
    ("files", "changed", "told"),
    [
        ({**GOOD, "../../escape.yaml": "a: 1"}, {}, "has no place"),
        ({**GOOD, "solutions/theirs/../defs.yaml": "a: 1"}, {}, "has no place"),
        ({**GOOD, "/etc/passwd": "x"}, {}, "has no place"),
        ({**GOOD, "solutions/theirs/sorted/evil.py": "x"}, {}, "has no place"),
        (GOOD, {"format": 2}, "manifest"),
        (GOOD, {"files": {"solutions/theirs/sorted/card.md": "0" * 64}}, "not what its manifest says"),
        (GOOD, {"extra": 1}, "manifest"),
        ({"solutions/theirs/sorted/defs.yaml": GOOD["solutions/theirs/sorted/defs.yaml"]}, {}, "not whole"),
        (_with("x" * (MAX_FILE_BYTES + 1)), {}, "too large"),
        (_with("a: !!python/object/apply:os.system [id]"), {}, "is refused"),
        (_with("a: &a [1]\nb: *a"), {}, "is refused"),
        (_with("a: " + "[" * 100 + "]" * 100), {}, "is refused"),
        (_with("? [1, 2]\n: 3"), {}, "can't be read"),
        (_with("type: os.system\nattributes: {}"), {}, "of no family"),
        (_with(_defs("DecisionRule", RULE) + "requirements: {env: [HOME]}\n"), {}, "of no family"),
        (_with(_defs("DecisionRule", {**RULE, "table": "/etc/passwd.csv"})), {}, "holds no data"),
        (_with(_defs("DecisionRule", {**RULE, "colour": 1})), {}, "not described rightly"),
        ({**GOOD, "suites/marts_x.yaml": "layer: marts\ntable: x; DROP TABLE y\n"}, {}, "a suite of the pack is wrong"),
    ],
)
def test_a_hostile_pack_is_refused_and_writes_nothing(
    home: Path, tmp_path: Path, files: dict[str, str], changed: dict[str, Any], told: str
) -> None:
    file = _pack(tmp_path, files, **changed)
    with pytest.raises(CellworksError) as caught:
        import_pack(file)
    assert told in str(caught.value)
    assert not home.exists()
    assert [each.name for each in tmp_path.iterdir()] == ["pack.zip"]


def test_a_name_of_the_project_is_refused(home: Path, tmp_path: Path) -> None:
    files = {name.replace("theirs/sorted", "assembly/tab_weld_quality"): text for name, text in GOOD.items()}
    with pytest.raises(CellworksError, match="is there already") as told:
        import_pack(_pack(tmp_path, files))
    assert "which this release" in str(told.value), "nobody is to delete a folder of the release"
    assert "take the old one away" not in str(told.value)
    assert not home.exists()


@pytest.mark.parametrize("alias", ["champion", "shadow", "challenger"])
def test_a_name_with_a_model_in_the_registry_is_refused(home: Path, tmp_path: Path, alias: str) -> None:
    files = {
        "solutions/theirs/model/defs.yaml": _defs("PredictiveModel", LEARNER),
        "solutions/theirs/model/card.md": "# theirs/model\n",
    }
    client = open_home(Home(home))
    client.create_registered_model("theirs.model")
    client.create_model_version("theirs.model", (tmp_path / "old").as_uri())
    client.set_registered_model_alias("theirs.model", alias, "1")
    file = _pack(tmp_path, files)
    with pytest.raises(CellworksError, match="still has a model") as told:
        import_pack(file)
    assert told.value.found == f"{alias}: 1"
    assert ("cellworks retire theirs/model" in told.value.mend) == (alias == "champion")
    assert not (home / "solutions").exists()
    client.delete_registered_model_alias("theirs.model", alias)
    assert [each["solution"] for each in import_pack(file)["solutions"]] == ["theirs/model"]


def test_any_byte_of_a_pack_may_be_wrong(home: Path, tmp_path: Path) -> None:
    """Truncated or with one byte changed, a pack is refused, or taken whole where the byte says nothing."""
    content = _pack(tmp_path, GOOD).read_bytes()
    file = tmp_path / "pack.zip"
    for place in range(0, len(content), 29):
        for broken in (content[:place], content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]):
            file.write_bytes(broken)
            try:
                import_pack(file)
            except CellworksError:
                assert not home.exists()
            else:
                written = home / "solutions" / "theirs" / "sorted"
                assert (written / "card.md").read_text() == GOOD["solutions/theirs/sorted/card.md"]
                for each in sorted(home.rglob("*"), reverse=True):
                    each.unlink() if each.is_file() else each.rmdir()
                home.rmdir()


def test_yaml_from_outside_gives_plain_values() -> None:
    assert safe_yaml("a: [1, {b: text}]", "x") == {"a": [1, {"b": "text"}]}
