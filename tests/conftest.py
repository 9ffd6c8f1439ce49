"""What every test process needs before it imports anything of ours, and how two of them share the suite."""

import pytest
from xdist.scheduler import LoadScopeScheduling

from orchestration.environment import prepare_process

prepare_process()

# Folders whose files share a plant that takes a minute to build. They are the longest, so they begin first.
SHARING = ("tests/end_to_end/", "tests/expectations/", "tests/dbt/")


class ByPlant(LoadScopeScheduling):
    """Tests that share a fixture stay in one process: those of a file, or of a folder above."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in SHARING if nodeid.startswith(folder)), nodeid.split("::", maxsplit=1)[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByPlant:
    """The scheduler of `pytest -n`; a mark for groups does nothing with this pytest."""
    return ByPlant(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest first, which takes `--no-loadscope-reorder`."""
    items.sort(key=lambda item: not item.nodeid.startswith(SHARING))
