"""Cost of steps and days from meters, work orders and the site's rates, in plain Python; the engine works in SQL."""

from __future__ import annotations

import pandas as pd

from orchestration.evaluation.indicators import cost_ledger
from orchestration.evaluation.indicators.anew import Anew, Asked, unreconciled


def worked_anew(asked: Asked) -> Anew:
    """See `orchestration.evaluation.indicator.KINDS`; the gap is also that of the steps to a day's total."""
    spec, home = asked.spec, asked.home
    records = cost_ledger.read(home, asked.snapshot)
    cost_usd = cost_ledger.spent(asked.site, records)
    per_kwh = cost_ledger.cost_per_kwh(records, cost_usd)
    index = pd.MultiIndex.from_tuples(per_kwh, names=["step_code", "production_day"]).reorder_levels(spec.keys)
    answers = pd.DataFrame({"value": list(per_kwh.values())}, index=index, dtype=float)
    gap = unreconciled(home, spec.slug, ("figure", "cost_usd"), ("part", "cost_usd"), ["element"])
    return Anew(answers, max(gap, cost_ledger.missed_days(records, cost_usd)), "parts")
