{{ config(days='same_days', days_of=['stg_historian__telemetry'], partitioned=true) }}

{%- set days = rebuild_days('same_days') %}

{{ rebuild_note(days) }}
select
    control_point_no,
    date_trunc('hour', event_at) as hour_at,
    production_day,
    count(value) as value_count,
    avg(value)::float as value_mean,
    min(value) as value_min,
    max(value) as value_max,
    stddev_samp(value)::float as value_sd,
    arg_max(value, event_at) as value_last,
    max(known_at) as known_at
from {{ ref('stg_historian__telemetry') }}
where {{ in_days('production_day', days) }}
group by all
