{{ config(days='same_days', days_of=['stg_tester__cycling_end']) }}

{%- set days = rebuild_days('same_days') %}

{{ rebuild_note(days) }}
select
    pilot_cell_id,
    production_day,
    cycle_life,
    is_worn_out,
    known_at as label_known_at
from {{ ref('stg_tester__cycling_end') }}
where {{ in_days('production_day', days) }}
