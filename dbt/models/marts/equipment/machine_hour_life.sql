{{ config(materialized='lake_view') }}

-- A life lasts from the end of a repair (at first: from the first hour there is) to the next breakdown. The hours of a
-- repair belong to none. Of a life that goes on it is known that it has lasted until the newest hour.
with breakdown as (
    select machine_id, work_order_id, opened_at, coalesce(closed_at, timestamp 'infinity') as closed_at
    from {{ ref('stg_cmms__work_order') }}
    where type_code = 'breakdown'
),

hours as (
    select machine_id, event_at as hour_at, production_day
    from {{ ref('stg_historian__machine_hour') }}
),

seen as (
    select machine_id, min(hour_at) as first_at, max(hour_at) as newest_at
    from hours
    group by machine_id
)

select
    hours.machine_id,
    hours.hour_at,
    hours.production_day,
    concat_ws(' ', hours.machine_id, earlier.work_order_id) as life_id,
    (epoch(hours.hour_at) - epoch(coalesce(earlier.closed_at, seen.first_at))) / 3600 as age_h,
    (epoch(coalesce(later.opened_at, seen.newest_at)) - epoch(hours.hour_at)) / 3600 as hours_left_h,
    later.opened_at is not null as has_failed
from hours
inner join seen on hours.machine_id = seen.machine_id
asof left join breakdown as earlier
    on hours.machine_id = earlier.machine_id and hours.hour_at >= earlier.opened_at
asof left join breakdown as later
    on hours.machine_id = later.machine_id and hours.hour_at < later.opened_at
where earlier.opened_at is null or hours.hour_at >= earlier.closed_at
