"""Units: suffixes of quantity names (`areal_weight_g_m2` is in g/m2, always), and what is converted to the plan's."""

from __future__ import annotations

# A suffix of the name -> units that it may stand for. `_n_m` is both a torque and a force per width.
UNITS_BY_SUFFIX: dict[str, tuple[str, ...]] = {
    "pa_m3_s": ("Pa.m3/s",),
    "mpa_s": ("mPa.s",),
    "g_cm3": ("g/cm3",),
    "g_m2": ("g/m2",),
    "m2_g": ("m2/g",),
    "g_ah": ("g/Ah",),
    "g_kwh": ("g/kWh",),
    "mah_g": ("mAh/g",),
    "mv_h": ("mV/h",),
    "mv_k": ("mV/K",),
    "ms_cm": ("mS/cm",),
    "us_cm": ("uS/cm",),
    "s_100ml": ("s/100ml",),
    "m3_h": ("m3/h",),
    "l_min": ("l/min",),
    "mol_l": ("mol/l",),
    "kwh_per_kwh": ("kWh/kWh",),
    "kg_per_kwh": ("kg/kWh",),
    "ml_ah": ("ml/Ah",),
    "mn_m": ("mN/m",),
    "m_min": ("m/min",),
    "mm_s": ("mm/s",),
    "m_s": ("m/s",),
    "s_sheet": ("s/sheet",),
    "n_mm": ("N/mm",),
    "n_m": ("N.m", "N/m"),
    "w_mk": ("W/mK",),
    "ohm_cm": ("ohm.cm",),
    "count": ("count",),
    "count_h": ("count/h",),
    "count_m3": ("count/m3",),
    "count_m2": ("count/m2",),
    "ratio": ("1",),
    "index": ("1",),
    "ph": ("pH",),
    "pct": ("%",),
    "ppm": ("ppm",),
    "ppb": ("ppb",),
    "kgauss": ("kG",),
    "uohm": ("uohm",),
    "mohm": ("mohm",),
    "gohm": ("Gohm",),
    "kwh": ("kWh",),
    "kva": ("kVA",),
    "kvar": ("kvar",),
    "ah": ("Ah",),
    "mv": ("mV",),
    "kv": ("kV",),
    "ma": ("mA",),
    "um": ("um",),
    "mm": ("mm",),
    "km": ("km",),
    "mpa": ("MPa",),
    "kpa": ("kPa",),
    "pa": ("Pa",),
    "kw": ("kW",),
    "kn": ("kN",),
    "kg": ("kg",),
    "hz": ("Hz",),
    "khz": ("kHz",),
    "rpm": ("1/min",),
    "db": ("dB",),
    "dyne": ("dyne/cm",),
    "gf": ("gf",),
    "deg": ("deg",),
    "c": ("C",),
    "s": ("s",),
    "h": ("h",),
    "v": ("V",),
    "a": ("A",),
    "w": ("W",),
    "n": ("N",),
    "m": ("m",),
    "g": ("g",),
    "j": ("J",),
    "l": ("l",),
}

# Units that a laboratory may report in beside the plan's own: (given, plan's) -> factor. A factor is all there is, so
# that no temperature is among them.
UNIT_FACTORS = {
    ("mg", "g"): 1e-3,
    ("kg", "g"): 1e3,
    ("g", "kg"): 1e-3,
    ("um", "mm"): 1e-3,
    ("mm", "um"): 1e3,
    ("nm", "um"): 1e-3,
    ("%", "ppm"): 1e4,
    ("ppm", "%"): 1e-4,
    ("ppb", "ppm"): 1e-3,
    ("ppm", "ppb"): 1e3,
    ("Pa.s", "mPa.s"): 1e3,
    ("mg/m2", "g/m2"): 1e-3,
    ("kg/m3", "g/cm3"): 1e-3,
    ("kPa", "MPa"): 1e-3,
    ("MPa", "kPa"): 1e3,
    ("mohm", "uohm"): 1e3,
    ("uohm", "mohm"): 1e-3,
}

_LONGEST_FIRST = sorted(UNITS_BY_SUFFIX, key=len, reverse=True)


def suffix_of(name: str) -> str | None:
    """Longest unit suffix of a quantity's name, or None when it carries none.

    >>> suffix_of("areal_weight_g_m2")
    'g_m2'
    """
    return next((suffix for suffix in _LONGEST_FIRST if name.endswith(f"_{suffix}")), None)


def unit_problem(name: str, unit: str) -> tuple[str, str] | None:
    """Reason and remedy when a unit disagrees with the name's suffix, else None."""
    suffix = suffix_of(name)
    if suffix is None:
        return (
            f"name {name!r} carries no unit suffix",
            "end the name in its unit, such as _mm, _g_m2 or _count",
        )
    units = UNITS_BY_SUFFIX[suffix]
    if unit in units:
        return None
    expected = " or ".join(repr(each) for each in units)
    return (
        f"name {name!r} ends in _{suffix}, so the unit is {expected}, found {unit!r}",
        "change one of the two",
    )


def units_given_for(unit: str) -> list[tuple[str, float]]:
    """Units that values may come in whose plan has `unit`, with the factor to it; its own comes first.

    >>> units_given_for("MPa")
    [('MPa', 1.0), ('kPa', 0.001)]
    """
    others = [(given, factor) for (given, own), factor in UNIT_FACTORS.items() if own == unit]
    return [(unit, 1.0), *others]
