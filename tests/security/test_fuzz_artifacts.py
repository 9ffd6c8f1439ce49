"""Hostile model artifacts: refused by their hashes before a library reads them; and what the libraries do without."""

from __future__ import annotations

import json
from pathlib import Path

import lightgbm
import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from models.registry.contents import BUNDLE, FILES, UntrustedFilesError, tags_of
from models.registry.versions import Version
from models.scoring.boosters import LinearBooster
from pipelines.lake.home import Home
from tests.security.fuzzing import GUARD, LEDGER, cases, damaged
from tests.security.readers import WAITS_S, X, reader

ROWS = np.random.default_rng(7).normal(size=(200, 3))
Y = ROWS[:, 0] + ROWS[:, 1] ** 2
LINEAR = {
    "column": [0, 1], "code": [None, 1], "mean": [0, 0], "scale": [1, 1], "coefficients": [[1, 2]], "intercept": [1],
    "link": "identity",
}  # fmt: skip
CONTRACT = {
    "format": 1, "task": "regression", "classes": [], "quantiles": [0.5], "boosters": ["b.txt", "b.ubj", "b.json"],
    "features": [{"name": name, "kind": "number"} for name in ("a_mm", "b_um", "c_c")],
}  # fmt: skip
CODE = b"def load():\n    return 1\n"


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    """A registered version of three members, one of each library."""
    place = tmp_path_factory.mktemp("models")
    bundle = place / "model" / BUNDLE
    bundle.mkdir(parents=True)
    tree = lightgbm.train({"verbosity": -1, "num_threads": 1, "num_leaves": 5}, lightgbm.Dataset(ROWS, Y), 2)
    tree.save_model(str(bundle / "b.txt"))
    xgboost.train({"nthread": 1, "max_depth": 2}, xgboost.DMatrix(ROWS, Y), 2).save_model(str(bundle / "b.ubj"))
    (bundle / "b.json").write_text(json.dumps(LINEAR))
    (bundle / "bundle.json").write_text(json.dumps(CONTRACT))
    (bundle / "runtime.py").write_bytes(CODE)
    home = Home(place / "home")
    folder = place / "model"
    made = Version("finishing.cells", "1", "run", tags_of(home, "finishing.cells", "run", folder), str(folder), home)
    assert len(made.scorer().boosters) == 3
    return made


NAMES = ("b.txt", "b.ubj", "b.json", "bundle.json", "runtime.py")


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_of_a_registered_version_is_refused_before_it_is_read(version: Version, name: str) -> None:
    file = version.bundle / name
    good = file.read_bytes()

    @cases(30, 3_000)
    @given(damaged([good]))
    def run(content: bytes) -> None:
        file.write_bytes(content)
        with LEDGER.of(f"registered {name}").case(), GUARD.only(version.folder):
            if content == good:
                version.scorer()
                return
            # Loading it might end this process, tests and all.
            with pytest.raises(UntrustedFilesError, match=name):
                version.scorer()
            LEDGER.of(f"registered {name}").refused += 1

    try:
        run()
    finally:
        file.write_bytes(good)


@cases(20, 2_000)
@given(st.data())
def test_a_damaged_list_of_files_is_refused(version: Version, data: st.DataObject) -> None:
    told = data.draw(damaged([version.tags[FILES].encode()])).decode("utf-8", errors="replace")
    forged = Version(
        version.name, version.number, version.run_id, {**version.tags, FILES: told}, version.location, version.home
    )
    with LEDGER.of("list of files").case(), GUARD.only(version.folder):
        forged.check()
        assert told == version.tags[FILES], "a list that was not sealed is believed"


@pytest.mark.parametrize("name", ["b.txt", "b.ubj"])
def test_a_reader_in_c_may_end_or_spin_and_does_no_more(version: Version, tmp_path: Path, name: str) -> None:
    """What the hashes keep from happening; nothing of ours mends the libraries."""
    door = LEDGER.of(f"bare reader {Path(name).suffix}")
    with reader(tmp_path / name) as opened:

        @cases(12, 400, is_shrunk=False)
        @given(damaged([(version.bundle / name).read_bytes()]))
        def run(content: bytes) -> None:
            with door.case(within_s=2 * WAITS_S):  # it is their processor time that is bounded
                answer = opened.ask(content)
            assert not answer.startswith("escaped"), answer
            door.refused += answer.startswith("refused")
            door.ended += answer.startswith("ended")
            door.endless += answer == "endless"

        run()
    assert [each.name for each in tmp_path.iterdir()] == [name]


@cases(40, 4_000)
@given(damaged([json.dumps(LINEAR).encode()]))
def test_a_damaged_linear_model_raises_and_does_no_more(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "damaged.json"
    file.write_bytes(content)
    door = LEDGER.of("bare reader .json")
    with door.case(), GUARD.only(file.parent), np.errstate(all="ignore"):
        try:
            LinearBooster.load(file, 1).predict(X)
        except Exception:  # noqa: BLE001 - what is no model raises what JSON or numpy raise
            door.refused += 1
