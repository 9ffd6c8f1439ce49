{{ config(days='same_days', days_of=['stg_ems__meter_interval', 'stg_ems__weather']) }}

{%- set days = rebuild_days('same_days') %}

{{ rebuild_note(days) }}
with meter as (
    select *, {{ local_time('event_at') }} as local_at
    from {{ ref('stg_ems__meter_interval') }}
    where {{ in_days('production_day', days) }}
)

select
    meter.meter_id,
    meter.event_at as interval_at,
    meter.production_day,
    meter.step_code,
    meter.interval_s,
    meter.energy_kwh,
    meter.energy_kwh / (meter.interval_s / 3600) as meter_power_kw,
    {{ tariff_at('meter.local_at') }} as tariff_usd_per_kwh,
    meter.energy_kwh * ({{ tariff_at('meter.local_at') }}) as energy_cost_usd,
    weather.outdoor_temp_c,
    weather.outdoor_rh_pct,
    weather.outdoor_dew_point_c,
    meter.known_at
from meter
asof left join {{ ref('stg_ems__weather') }} as weather on meter.event_at >= weather.event_at
