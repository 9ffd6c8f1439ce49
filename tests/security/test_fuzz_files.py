"""Hostile files: a site's YAML and control plan, a solution's defs.yaml, a backup's manifest, the audit's note."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from orchestration.catalogue import discover
from orchestration.environment import default_site, definition_folders
from pipelines.access import anchor
from pipelines.access.chain import Head
from pipelines.control_plan.csv_file import decode, read_rows
from pipelines.control_plan.site import load_site
from pipelines.control_plan.yaml_file import parse_yaml
from pipelines.lake.home import Home
from pipelines.moving import manifest
from tests.security.fuzzing import GUARD, LEDGER, cases, damaged

HERE = Path("site")
SITE = {each: (default_site() / each).read_bytes() for each in ("site.yaml", "feeds.yaml", "control_plan.csv")}
BITS = [
    b"name: demo\nareas:\n  - id: a\n    units: [x, {y: 1}]\n",
    b"a: &a [1, 2]\nb: *a\nc: {<<: {d: 2026-01-02}}\n",
    *(SITE["feeds.yaml"][start : start + 700] for start in (0, 2000, 9000)),
]
BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9)) for n in range(9)
)
ROWS = SITE["control_plan.csv"].split(b"\n")
PLANS = [b"\n".join([ROWS[0], *ROWS[start : start + 3]]) + b"\n" for start in (1, 40, 120)]
DEFS = sorted(file for folder in definition_folders() for file in folder.glob("*/*/defs.yaml"))
SOLUTIONS = [file.read_bytes() for file in DEFS[::9]]


@cases(300, 20_000)
@given(damaged(BITS))
@example(BOMB)
@example(b"? [a]\n: b\n")
@example(b"a: " + b"[" * 100_000)
def test_yaml(content: bytes) -> None:
    with LEDGER.of("yaml").case(), GUARD.only(HERE):
        parse_yaml(decode(content, HERE, "site.yaml"), HERE, "site.yaml")


@cases(300, 20_000)
@given(damaged(PLANS))
@example("\ufeff\ufeff".encode())
def test_rows_of_the_control_plan(content: bytes) -> None:
    with LEDGER.of("control_plan.csv").case(), GUARD.only(HERE):
        read_rows(decode(content, HERE, "control_plan.csv"), HERE)


@cases(4, 150)
@given(st.sampled_from(sorted(SITE)), st.data())
def test_a_whole_site(name: str, data: st.DataObject) -> None:
    content = data.draw(damaged([SITE[name]]))
    with tempfile.TemporaryDirectory() as folder:
        for each, good in SITE.items():
            (Path(folder) / each).write_bytes(content if each == name else good)
        with LEDGER.of("site").case(), GUARD.only(Path(folder)):
            load_site(Path(folder))


def test_a_site_that_is_a_bomb_of_aliases(tmp_path: Path) -> None:
    for each, good in SITE.items():
        (tmp_path / each).write_bytes(BOMB + b"areas: *j\nsteps: *j\n" if each == "site.yaml" else good)
    with LEDGER.of("site").case():
        load_site(tmp_path)


@cases(40, 1_500)
@given(damaged([*SOLUTIONS, BOMB + b"type: orchestration.components.Assistant\nattributes: {question: *j}\n"]))
@example(b"type: orchestration.components.Assistant\nattributes: text\n")
@example(b"type: orchestration.components.Optimizer\nattributes:\n  question: Into which places o\t the trays")
def test_a_solution(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mine" / "thing" / "defs.yaml"
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        with LEDGER.of("defs.yaml").case(), GUARD.only(Path(folder)):
            discover([Path(folder)])


def _manifest(folder: Path) -> bytes:
    (folder / "a.txt").write_bytes(b"hello")
    manifest.write(
        folder,
        manifest.Manifest(
            environment="embedded", site="demo", taken_at="2026-09-01", lake_data="d", mlflow_artifacts="m",
            versions={"duckdb": "1"}, rows={"a.b": 1}, files={"a.txt": "2cf24dba"},
        ),
    )  # fmt: skip
    return (folder / "manifest.json").read_bytes()


with tempfile.TemporaryDirectory() as _place:
    MANIFEST = _manifest(Path(_place))


@cases(120, 3_000)
@given(
    st.one_of(damaged([MANIFEST]), st.dictionaries(st.text(max_size=20), st.text(max_size=5)).map(
        lambda files: json.dumps({**json.loads(MANIFEST), "files": files}).encode()
    ))
)  # fmt: skip
def test_a_manifest_of_a_backup(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "manifest.json").write_bytes(content)
        with LEDGER.of("backup manifest").case(), GUARD.only(Path(folder)):
            manifest.read(Path(folder))


@cases(100, 2_000)
@given(damaged([b'{"number": 12, "hash": "abc"}']))
def test_the_note_of_the_audit(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        anchor.write(home, Head(1, "a"))
        (Path(folder) / "audit_head.json").write_bytes(content)
        with LEDGER.of("audit note").case(), GUARD.only(Path(folder)):
            anchor.read(home)
