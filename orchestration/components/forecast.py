"""The family of forecasts: what each series will be over the next steps, with intervals."""

from __future__ import annotations

import dagster as dg

from orchestration.components.scaffolding import ForecastScaffolder
from orchestration.components.solution import SolutionComponent


@dg.scaffold_with(ForecastScaffolder)
class Forecast(SolutionComponent):
    """Series at a regular step: boosted quantiles for every step ahead at once, conformalised, every night anew.

    It acts only where it loses less than the season before, judged on rolling origins; exponential smoothing is told
    beside it. Held against what is in store and on order, it says what is to be bought.
    """
