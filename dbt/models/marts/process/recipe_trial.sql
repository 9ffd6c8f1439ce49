{{ config(days='same_days', days_of=['stg_mes__recipe_trial']) }}

{%- set days = rebuild_days('same_days') %}

{{ rebuild_note(days) }}
select
    recipe_trial_id,
    production_day,
    event_at as tried_at,
    solids_pct,
    viscosity_mpa_s,
    areal_weight_g_m2,
    web_speed_m_min,
    line_load_n_mm,
    residual_solvent_ppm,
    exhaust_lel_pct,
    peel_strength_n_m,
    defect_count_m2,
    density_g_cm3,
    known_at
from {{ ref('stg_mes__recipe_trial') }}
where {{ in_days('production_day', days) }}
