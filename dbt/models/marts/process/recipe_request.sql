{{ config(days='same_days', days_of=['stg_erp__recipe_request']) }}

{%- set days = rebuild_days('same_days') %}

{{ rebuild_note(days) }}
select
    recipe_id,
    production_day,
    event_at as requested_at,
    solids_pct,
    viscosity_mpa_s,
    areal_weight_g_m2,
    density_g_cm3,
    known_at
from {{ ref('stg_erp__recipe_request') }}
where {{ in_days('production_day', days) }}
