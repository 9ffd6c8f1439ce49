{{ config(days='same_days', days_of=['stg_ems__tariff_hour']) }}

{%- set days = rebuild_days('same_days') %}

{{ rebuild_note(days) }}
select
    starts_at,
    production_day,
    ends_at,
    price_usd_per_kwh,
    demand_charge_usd_per_kw,
    period_code,
    carbon_kg_per_kwh,
    known_at
from {{ ref('stg_ems__tariff_hour') }}
where {{ in_days('production_day', days) }}
