{{ config(days='same_days', days_of=['stg_scada__alarm']) }}

{%- set days = rebuild_days('same_days') %}

{{ rebuild_note(days) }}
select
    alarm_id,
    production_day,
    machine_id,
    alarm_code,
    priority_code,
    raised_at,
    acknowledged_at,
    returned_at,
    known_at
from {{ ref('stg_scada__alarm') }}
where {{ in_days('production_day', days) }}
