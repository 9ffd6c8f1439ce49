"""A rollback whose process is killed for good (SIGKILL) between any two steps is finished by the next that looks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from models.gates.judge import judge
from models.registry.aliases import promote, recover
from models.registry.audit import open_moves
from models.registry.client import open_client
from models.registry.versions import aliases
from models.train import train

pytestmark = pytest.mark.slow

_ROLLBACK = """
import os, signal, sys
from pathlib import Path
from models.registry import aliases as moving, by_person
from models.registry.client import open_at
from pipelines.lake.home import Home

home, last = Home(Path(sys.argv[1])), int(sys.argv[2])
done = iter(range(100))

def fatal(write):
    def wrapped(*arguments, **named):
        if next(done) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(*arguments, **named)
    return wrapped

client = type(open_at(home.stores.mlflow_uri))
moving.write_phase = fatal(moving.write_phase)
for name in ("set_registered_model_alias", "delete_registered_model_alias", "set_model_version_tag"):
    setattr(client, name, fatal(getattr(client, name)))
by_person.rollback(home, "cells", "Ana", "test")
"""


@pytest.mark.long
@pytest.mark.faults
def test_a_rollback_that_sigkill_ends_is_finished(ctx, table_file, cells, solution):
    tiny = {"trials": 1, "max_rounds": 20, "libraries": ["lightgbm"]}
    spec = solution(table_file(cells(800)), "regression", search=tiny)
    for _ in range(2):
        assert promote(spec, ctx, judge(spec, ctx, train(spec, ctx))).alias == "champion"
    client = open_client(ctx)
    root = Path(__file__).parents[2]
    for step in range(1, 5):  # writes done before the end: intent, two aliases, one tag
        before = aliases(client, spec.name)
        child = subprocess.run(
            [sys.executable, "-c", _ROLLBACK, str(ctx.home.root), str(step)],
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert child.returncode == -signal.SIGKILL, child.stderr
        assert len(open_moves(ctx.home)) == 1
        assert len(recover(ctx.home)) == 1
        now = aliases(client, spec.name)
        assert (now["champion"], now["previous"]) == (before["previous"], before["champion"])
        assert open_moves(ctx.home) == []
