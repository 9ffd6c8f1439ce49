{{ config(days='same_days', days_of=['stg_erp__spare_part']) }}

{%- set days = rebuild_days('same_days') %}

{{ rebuild_note(days) }}
select
    part_code,
    counted_at,
    production_day,
    machine_class,
    stock_qty,
    unit_price_usd,
    lead_time_d,
    known_at
from {{ ref('stg_erp__spare_part') }}
where {{ in_days('production_day', days) }}
