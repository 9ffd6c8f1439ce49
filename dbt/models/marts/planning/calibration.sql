{{ config(days='same_days', days_of=['stg_lims__calibration']) }}

{%- set days = rebuild_days('same_days') %}

{{ rebuild_note(days) }}
select
    gauge_id,
    characteristic_code,
    calibrated_at,
    production_day,
    due_at,
    as_found_error,
    tolerance,
    known_at
from {{ ref('stg_lims__calibration') }}
where {{ in_days('production_day', days) }}
