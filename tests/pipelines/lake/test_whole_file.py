"""Small files that are there whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pipelines.lake.whole_file import write_whole

# A process that may write so few bytes meets what a full disk does.
CROWDED = """
import resource, signal, sys
from pathlib import Path
from pipelines.lake.whole_file import write_whole
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    write_whole(Path(sys.argv[1]), "new" * 1000)
except OSError as error:
    sys.exit(error.strerror)
"""


def test_a_file_that_can_not_be_written_whole_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "site.json"
    write_whole(file, "before")
    done = subprocess.run([sys.executable, "-c", CROWDED, str(file)], capture_output=True, text=True, check=False)
    assert done.stderr == "File too large\n"
    assert file.read_text() == "before"
    write_whole(file, "after: \u00e4")
    assert file.read_text(encoding="utf-8") == "after: \u00e4"


def test_a_file_that_says_the_same_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "site.json"
    write_whole(file, "same")
    before = file.stat()
    write_whole(file, "same")
    assert file.stat().st_ino == before.st_ino
    assert file.stat().st_mtime_ns == before.st_mtime_ns
