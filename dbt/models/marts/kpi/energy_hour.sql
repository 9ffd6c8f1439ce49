{{ config(days='same_days', days_of=['stg_ems__meter_interval', 'stg_ems__weather', 'stg_mes__stacking']) }}

{%- set days = rebuild_days('same_days') %}

{{ rebuild_note(days) }}
-- Sums of doubles depend on their order in the last bits; as single precision they are the same on every run.
with meter as (
    select
        meter_id,
        date_trunc('hour', event_at) as hour_at,
        production_day,
        step_code,
        sum(energy_kwh)::float::double as energy_kwh,
        max(known_at) as known_at
    from {{ ref('stg_ems__meter_interval') }}
    where {{ in_days('production_day', days) }}
    group by all
    -- An hour that lacks an interval has used less than it says.
    having sum(interval_s) > 3599
),

-- What was made in the hour is told of once all of it is known.
made as (
    select
        date_trunc('hour', event_at) as hour_at,
        count(*) as cells_stacked,
        max(known_at) as known_at
    from {{ ref('stg_mes__stacking') }}
    where {{ in_days('production_day', days) }}
    group by all
)

select
    meter.meter_id,
    meter.hour_at,
    meter.production_day,
    meter.step_code,
    meter.energy_kwh,
    coalesce(made.cells_stacked, 0) as cells_stacked,
    weather.outdoor_temp_c,
    weather.outdoor_dew_point_c,
    greatest(meter.known_at, made.known_at) as known_at
from meter
left join made on meter.hour_at = made.hour_at
asof left join {{ ref('stg_ems__weather') }} as weather on meter.hour_at >= weather.event_at
