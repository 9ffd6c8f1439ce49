"""What the SQL's macros ask dbt for, so that sqlfluff can render it without dbt and without a lake.

Named as `library_path` in .sqlfluff. The plan is the demo site's, shortened; all days are built (`execute` is false, as
while dbt parses), so the branches for single days are not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipelines.control_plan.site import load_site
from pipelines.curation.contracts import plan_data_of

_FEW = 3
execute = False


def _shortened(part: Any) -> Any:
    """The first few of every list: a table of 300 columns is no other SQL than one of three, and takes minutes."""
    if isinstance(part, Mapping):
        return {name: _shortened(each) for name, each in part.items()}
    return [_shortened(each) for each in part[:_FEW]] if isinstance(part, list) else part


_WHOLE = plan_data_of(load_site(Path(__file__).parents[1] / "sites" / "demo"))
_PLAN = _shortened(_WHOLE) | {"steps": _WHOLE["steps"]}  # a step is looked up by its code


def site_plan() -> dict[str, Any]:
    """The macro of the same name in a project that runs."""
    return _PLAN


def model_fingerprints() -> dict[str, str]:
    """Nothing was ever built."""
    return {}


class _Macros:
    """Stands for dbt's `context`: a macro called by its name, for what it reads and not for what it gives."""

    def __getitem__(self, name: str) -> Callable[[], str]:
        return lambda: ""


context = _Macros()
