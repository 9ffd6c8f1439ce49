"""Will a recipe run on a line, and where? Its window of speed and load, from physics whose numbers trials tell.

Of each outcome the form is known and its numbers are not: they are fitted to trials by least squares, and what is asked
of a run is asked of the end of the one-sided prediction interval, so that few or scattered trials make a window narrow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from pipelines.optimizers.runs import Floats

MIN_SPARE = 5  # trials beyond the numbers of a form, below which nothing is told


@dataclass(frozen=True)
class Line:
    """What today's recipe is, and what the line can do.

    Attributes:
        solids_pct, viscosity_mpa_s, areal_weight_g_m2, speed_m_min: of today's recipe; effects are counted from them.
        speeds_m_min, loads_n_mm: that can be set, ascending.
        most_flow: of the pump, of today's volume of slurry per time.
        solid_g_cm3: density of the coat without pores. least_porosity: what no load presses out.
    """

    solids_pct: float
    viscosity_mpa_s: float
    areal_weight_g_m2: float
    speed_m_min: float
    speeds_m_min: Floats
    loads_n_mm: Floats
    most_flow: float
    solid_g_cm3: float
    least_porosity: float


@dataclass(frozen=True)
class Recipes:
    """Recipes, shape (n,) each."""

    solids_pct: Floats
    viscosity_mpa_s: Floats
    areal_weight_g_m2: Floats

    def take(self, row: int) -> Recipes:
        """One of them."""
        return Recipes(*(values[row : row + 1] for values in vars(self).values()))


@dataclass(frozen=True)
class Limit:
    """What an outcome must keep: a highest or a lowest value, in its unit."""

    name: str
    at: float
    is_upper: bool


@dataclass(frozen=True)
class Fit:
    """A form fitted to trials: the logarithm of an outcome is linear in its terms.

    Attributes:
        weights: of the terms. spread: standard deviation of what is left. spare: degrees of freedom.
        inverse: of the terms' cross products, for what the weights are not sure of.
    """

    weights: Floats
    spread: float
    spare: int
    inverse: Floats

    def expected(self, terms: Floats) -> Floats:
        """Logarithm of the outcome."""
        found: Floats = terms @ self.weights
        return found

    def margin(self, terms: Floats, confidence: float) -> Floats:
        """Distance to the end of the one-sided prediction interval of a run."""
        found: Floats = student.ppf(confidence, self.spare) * self._scale(terms)
        return found

    def beyond(self, terms: Floats, logarithm: Floats | float) -> Floats:
        """Probability that a run's outcome has a logarithm above this one."""
        found: Floats = student.sf((logarithm - self.expected(terms)) / self._scale(terms), self.spare)
        return found

    def _scale(self, terms: Floats) -> Floats:
        unsure = np.einsum("ij,jk,ik->i", terms, self.inverse, terms)
        found: Floats = self.spread * np.sqrt(1 + unsure)
        return found


@dataclass(frozen=True)
class Window:
    """What is told of a recipe.

    Attributes:
        verdict: `release`, or `hold`.
        limited_by: outcome or capability that ends the window above; of a recipe on hold, the one it fails by.
        fails: probability that a run is beyond the limit that is hardest to keep: at what is to be set; on hold at the
            best that can be set.
        slowest_m_min, fastest_m_min: ends of the window; NaN on hold.
        speed_m_min, load_n_mm: to be set; NaN on hold.
        margin: by outcome, how far the end of its interval keeps from its limit there, as a share of the limit.
    """

    verdict: str
    limited_by: str
    fails: float
    slowest_m_min: float = np.nan
    fastest_m_min: float = np.nan
    speed_m_min: float = np.nan
    load_n_mm: float = np.nan
    margin: Mapping[str, float] | None = None


def flow(line: Line, recipes: Recipes, speed_m_min: Floats) -> Floats:
    """Volume of slurry per time, of today's: m = Q rho w / (v W) solved for Q, at an equal density of the slurry."""
    weight = recipes.areal_weight_g_m2 / line.areal_weight_g_m2
    found: Floats = weight * speed_m_min / line.speed_m_min * line.solids_pct / recipes.solids_pct
    return found


def solvent(line: Line, recipes: Recipes, speed_m_min: Floats) -> Floats:
    """Solvent to be evaporated per time, of today's: m (1 - w) / w times the speed."""
    wet = (100 - recipes.solids_pct) / recipes.solids_pct
    today = (100 - line.solids_pct) / line.solids_pct
    weight = recipes.areal_weight_g_m2 / line.areal_weight_g_m2
    found: Floats = weight * wet / today * speed_m_min / line.speed_m_min
    return found


def terms_of(name: str, line: Line, recipes: Recipes, speed_m_min: Floats, load_n_mm: Floats) -> Floats:
    """Terms of an outcome's form, shape (n, k).

    Raises:
        LookupError: no form is known of it.
    """
    one = np.ones(len(speed_m_min))
    weight = np.log(recipes.areal_weight_g_m2 / line.areal_weight_g_m2)
    load = solvent(line, recipes, speed_m_min)
    match name:
        case "residual_solvent_ppm":
            return np.column_stack([one, load - 1, weight])
        case "exhaust_lel_pct":
            return np.column_stack([one, np.log(load)])
        case "peel_strength_n_m":
            return np.column_stack([one, np.log(load), weight])
        case "defect_count_m2":
            shear = recipes.viscosity_mpa_s / line.viscosity_mpa_s * speed_m_min / line.speed_m_min
            return np.column_stack([one, shear - 1])
        case "density_g_cm3":
            pressed = load_n_mm / 1000
            return np.column_stack([one, pressed, pressed * weight])
        case _:
            raise LookupError(f"no form is known of {name}")


def fit(terms: Floats, logarithm: Floats) -> Fit | None:
    """Least squares; None where trials are too few or do not tell the terms apart."""
    spare = len(terms) - terms.shape[1]
    if spare < MIN_SPARE or np.linalg.matrix_rank(terms) < terms.shape[1]:
        return None
    inverse: Floats = np.asarray(np.linalg.inv(terms.T @ terms), dtype=np.float64)
    weights: Floats = inverse @ terms.T @ logarithm
    left = logarithm - terms @ weights
    return Fit(weights, float(np.sqrt(left @ left / spare)), spare, inverse)


def logarithm_of(name: str, line: Line, values: Floats) -> Floats:
    """What is linear in the terms: of a density, the porosity above what no load presses out (Meyer's law)."""
    if name == "density_g_cm3":
        values = 1 - values / line.solid_g_cm3 - line.least_porosity
    found: Floats = np.log(np.maximum(values, 1e-9))
    return found


def learn(
    line: Line, recipes: Recipes, speed_m_min: Floats, load_n_mm: Floats, outcomes: Mapping[str, Floats]
) -> dict[str, Fit] | None:
    """Fit every outcome to trials, shape (n,) each; None where one of them cannot be learnt yet."""
    fits = {}
    for name, values in outcomes.items():
        found = fit(terms_of(name, line, recipes, speed_m_min, load_n_mm), logarithm_of(name, line, values))
        if found is None:
            return None
        fits[name] = found
    return fits


def window(
    line: Line,
    fits: Mapping[str, Fit],
    recipe: Recipes,
    density_g_cm3: float,
    tolerance_g_cm3: float,
    limits: list[Limit],
    confidence: float,
) -> Window:
    """Where one recipe can run.

    Args:
        line: see `Line`.
        fits: as `learn` made them.
        recipe: one recipe.
        density_g_cm3: that it shall have.
        tolerance_g_cm3: give or take of it.
        limits: of the other outcomes.
        confidence: probability with which a run keeps each limit, in (0.5, 1).
    """
    load, missed = _load(line, fits["density_g_cm3"], recipe, density_g_cm3, tolerance_g_cm3)
    if missed > 1 - confidence:
        return Window("hold", "line_load_n_mm", missed)
    speeds = line.speeds_m_min
    many = Recipes(*(np.repeat(values, len(speeds)) for values in vars(recipe).values()))
    loads = np.full(len(speeds), load)
    margins = {"pump_flow": 1 - flow(line, many, speeds) / line.most_flow}
    fails = np.where(margins["pump_flow"] < 0, 1.0, missed)
    for limit in limits:
        terms, fitted = terms_of(limit.name, line, many, speeds, loads), fits[limit.name]
        sign = 1.0 if limit.is_upper else -1.0
        end = fitted.expected(terms) + sign * fitted.margin(terms, confidence)
        margins[limit.name] = sign * (1 - np.exp(end) / limit.at)
        above = fitted.beyond(terms, float(np.log(limit.at)))
        fails = np.maximum(fails, above if limit.is_upper else 1 - above)
    least = np.min(list(margins.values()), axis=0)
    safe = least >= 0
    names = list(margins)
    worst = [names[place] for place in np.argmin([margins[name] for name in names], axis=0)]
    if not safe.any():
        best = int(np.argmax(least))
        return Window("hold", worst[best], float(fails[best]))
    fastest = int(np.flatnonzero(safe)[-1])
    slowest = fastest - int(np.argmin(np.append(safe[: fastest + 1][::-1], False))) + 1
    limited = worst[fastest + 1] if fastest + 1 < len(speeds) else "web_speed_m_min"
    return Window(
        "release",
        limited,
        float(fails[fastest]),
        float(speeds[slowest]),
        float(speeds[fastest]),
        float(speeds[fastest]),
        load,
        {name: float(values[fastest]) for name, values in margins.items()},
    )


def _load(
    line: Line, fitted: Fit, recipe: Recipes, density_g_cm3: float, tolerance_g_cm3: float
) -> tuple[float, float]:
    """The load whose expected density is nearest to what is wanted, and the probability that a run misses it."""
    loads = line.loads_n_mm
    many = Recipes(*(np.repeat(values, len(loads)) for values in vars(recipe).values()))
    terms = terms_of("density_g_cm3", line, many, np.full(len(loads), line.speed_m_min), loads)
    wanted = density_g_cm3 + tolerance_g_cm3 * np.array([0, 1, -1])
    middle, densest, loosest = logarithm_of("density_g_cm3", line, wanted)
    best = int(np.argmin(np.abs(fitted.expected(terms) - middle)))
    at = terms[best : best + 1]
    missed = 1 - fitted.beyond(at, densest) + fitted.beyond(at, loosest)
    return float(loads[best]), float(missed[0])
