"""Hostile deliveries: CSV, JSON lines and Parquet with damages, odd names, links, and files that unpack without end."""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.environment import default_site
from pipelines.control_plan.site import load_site
from pipelines.ingest.run import ingest
from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from tests.security.fuzzing import GUARD, IS_FULL, LEDGER, cases, damaged, tree

SITE = load_site(default_site())
FEED = "historian__machine_hour"
MACHINE = next(iter(SITE.machines_by_id))
GOOD = {
    "machine_id": MACHINE,
    "event_at": "2026-09-01 17:00:00",
    "known_at": "2026-09-01 17:00:00",
    "vibration_mm_s": 1.5,
    "bearing_temp_c": 40.0,
}
HEADER = ",".join(GOOD) + "\n"
CSV = (HEADER + ",".join(map(str, GOOD.values())) + "\n" + ",".join(map(str, GOOD.values())) + "\n").encode()
LINES = (json.dumps(GOOD) + "\n").encode() * 2


def _parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([GOOD] * 3), sink)
    return sink.getvalue()


PARQUET = _parquet()
CONTENTS = {
    "csv": st.tuples(st.just("csv"), damaged([CSV])),
    "jsonl": st.tuples(st.just("jsonl"), damaged([LINES])),
    "parquet": st.tuples(st.just("parquet"), damaged([PARQUET])),
    "csv.gz": st.tuples(
        st.just("csv.gz"),
        st.one_of(
            damaged([gzip.compress(CSV, mtime=0)]), damaged([CSV]).map(lambda plain: gzip.compress(plain, mtime=0))
        ),
    ),
    "other encodings": st.tuples(
        st.just("csv"),
        st.sampled_from(["utf-16", "latin-1", "cp037", "utf-32"]).map(
            lambda coding: CSV.decode().replace("40.0", "4\xe9").encode(coding)
        ),
    ),
}
MANY = {"csv": 40, "jsonl": 40, "parquet": 40, "csv.gz": 20, "other encodings": 1}
"""Batches of the full profile."""
AT_ONCE = 60 if IS_FULL else 10
names = st.one_of(
    st.just(b"plain"),
    st.sampled_from(
        [
            b"..",
            b"..%2f..%2fx",
            b"..\\..\\x",
            b"';DROP TABLE x;--",
            b'"',
            b"a\nb",
            b"\xff\xfe",
            b"[ab]*",
            b"{a,b}",
            b"~root",
            b"$(id)",
            b"%s%n",
            "\u202etxt".encode(),
            b" ",
            b"a" * 200,
            b"http:",
            b"s3:",
            b"-rf",
            b".hidden",
        ]
    ),
    st.binary(min_size=1, max_size=12).map(lambda raw: raw.replace(b"/", b"_").replace(b"\x00", b"0")),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home beside a folder that must stay as it is."""
    place = tmp_path_factory.mktemp("hostile")
    (place / "outside").mkdir()
    (place / "outside" / "secret.csv").write_bytes(CSV)
    before = tree(place / "outside")
    made = Home(place / "home").ensure()
    ingest(made, SITE)
    yield made
    assert tree(place / "outside") == before
    assert {each.name for each in place.iterdir()} == {"home", "outside"}


@pytest.mark.parametrize("kind", sorted(CONTENTS))
def test_deliveries(home: Home, kind: str) -> None:
    @cases(1, MANY[kind], is_shrunk=False)
    @given(st.lists(st.tuples(names, CONTENTS[kind]), min_size=AT_ONCE, max_size=AT_ONCE))
    def run(files: list[tuple[bytes, tuple[str, bytes]]]) -> None:
        folder = home.drop_dir / FEED
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for number, (name, (ending, content)) in enumerate(files):
            (Path(os.fsdecode(os.fsencode(folder) + b"/" + name + f"{number}.{ending}".encode()))).write_bytes(content)
        link = folder / "link.csv"
        link.symlink_to(home.root.parent / "outside" / "secret.csv")
        door = LEDGER.of(f"delivered {kind}")
        with door.case(cases=len(files)), GUARD.only(home.root):
            door.refused += ingest(home, SITE).files_quarantined
        with reader(home) as con:
            [[taken]] = con.execute(f"SELECT count(*) FROM raw.{FEED} WHERE _source LIKE '%link.csv'").fetchall()
        assert taken == 0

    run()


@pytest.mark.parametrize(
    "line",
    [
        CSV.split(b"\n")[1] + b"\n",
        *(pytest.param(each, marks=pytest.mark.long) for each in (b"\n", b"0")),
    ],
    ids=["rows", "blank", "one-line"],
)
def test_a_file_that_unpacks_without_end_is_set_aside(tmp_path: Path, line: bytes) -> None:
    made = Home(tmp_path / "home").ensure()
    folder = made.drop_dir / FEED
    folder.mkdir()
    size = 66 << 20
    packed = gzip.compress(HEADER.encode() + line * (size // len(line)), compresslevel=6, mtime=0)
    (folder / "bomb.csv.gz").write_bytes(packed)
    with LEDGER.of("gzip bombs").case():
        report = ingest(made, SITE)
    assert (report.rows_in, report.files_quarantined) == (0, 1)
