{{ config(days='dry_room_hour_days') }}

{%- set days = rebuild_days('dry_room_hour_days') %}

{{ rebuild_note(days) }}
-- The label is whole once four hours have followed without a gap. Means reach back a day. As single precision, sums are
-- the same on every run.
with hour as (
    select
        machine_id,
        event_at as hour_at,
        production_day,
        {{ shift_code(local_time('event_at')) }} as shift_code,
        {%- for name in site_plan().dry_room_hour %}
        "{{ name }}",
        {%- endfor %}
        people_count,
        door_opening_count,
        (avg(people_count) over day_before)::float::double as people_count_24h,
        (avg(door_opening_count) over day_before)::float::double as door_opening_count_24h,
        dehumidifier_kwh,
        known_at,
        case when count(*) over next_hours = 4 then max(zone_dew_point_max_c) over next_hours end
            as dew_point_max_next_4h_c,
        case when count(*) over next_hours = 4 then max(known_at) over next_hours end as label_known_at
    from {{ ref('stg_ems__dry_room_hour') }}
    window
        day_before as (
            partition by machine_id order by event_at
            range between interval 23 hour preceding and current row
        ),
        next_hours as (
            partition by machine_id order by event_at
            range between interval 1 hour following and interval 4 hour following
        )
)

select
    hour.machine_id,
    hour.hour_at,
    hour.production_day,
    hour.shift_code,
    {%- for name in site_plan().dry_room_hour %}
    hour."{{ name }}",
    {%- endfor %}
    hour.people_count,
    hour.door_opening_count,
    hour.people_count_24h,
    hour.door_opening_count_24h,
    weather.outdoor_temp_c,
    weather.outdoor_dew_point_c,
    hour.dehumidifier_kwh,
    greatest(hour.known_at, weather.known_at) as known_at,
    hour.dew_point_max_next_4h_c,
    hour.label_known_at
from hour
asof left join {{ ref('stg_ems__weather') }} as weather on hour.hour_at >= weather.event_at
where {{ in_days('hour.production_day', days) }}
