{{ config(days='same_days', days_of=['stg_erp__material_day']) }}

{%- set days = rebuild_days('same_days') %}

{{ rebuild_note(days) }}
select
    material_code,
    production_day,
    consumed_kg,
    received_kg,
    stock_kg,
    known_at
from {{ ref('stg_erp__material_day') }}
where {{ in_days('production_day', days) }}
