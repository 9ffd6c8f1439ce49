{{ config(days='same_days', days_of=['stg_cmms__spare_part_use']) }}

{%- set days = rebuild_days('same_days') %}

{{ rebuild_note(days) }}
select
    work_order_id,
    part_code,
    production_day,
    machine_id,
    used_at,
    quantity,
    known_at
from {{ ref('stg_cmms__spare_part_use') }}
where {{ in_days('production_day', days) }}
