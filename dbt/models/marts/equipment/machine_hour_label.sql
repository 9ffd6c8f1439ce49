{{ config(days='machine_hour_label_days') }}

{%- set days = rebuild_days('machine_hour_label_days') %}

{{ rebuild_note(days) }}
-- A machine that stands still after a breakdown is not about to fail: such hours carry no label. It stands until its
-- work order is closed; while the order is open, until now.
with breakdown as (
    select machine_id, work_order_id, failure_mode_code, opened_at, closed_at, known_at
    from {{ ref('stg_cmms__work_order') }}
    where type_code = 'breakdown'
),

hours as (
    select machine_id, event_at as hour_at, production_day
    from {{ ref('stg_historian__machine_hour') }}
    where {{ in_days('production_day', days) }}
),

newest as (
    select max(known_at) as known_at from {{ ref('stg_historian__machine_hour') }}
),

next_failure as (
    select
        hours.machine_id,
        hours.hour_at,
        min_by(breakdown.work_order_id, breakdown.opened_at) as failure_event_id,
        min_by(breakdown.failure_mode_code, breakdown.opened_at) as failure_mode_code,
        min(breakdown.opened_at) as failed_at
    from hours
    inner join breakdown
        on hours.machine_id = breakdown.machine_id
        and breakdown.opened_at > hours.hour_at
        and breakdown.opened_at <= hours.hour_at + interval 24 hour
    group by hours.machine_id, hours.hour_at
),

standing as (
    select distinct hours.machine_id, hours.hour_at
    from hours
    inner join breakdown
        on hours.machine_id = breakdown.machine_id
        and hours.hour_at >= breakdown.opened_at
        and hours.hour_at < coalesce(breakdown.closed_at, timestamp 'infinity')
)

select
    hours.machine_id,
    hours.hour_at,
    hours.production_day,
    case
        when standing.hour_at is not null then null
        when next_failure.failure_event_id is not null then true
        when hours.hour_at + interval 24 hour <= newest.known_at then false
    end as fails_within_24h,
    next_failure.failure_event_id,
    next_failure.failure_mode_code,
    next_failure.failed_at,
    hours.hour_at + interval 24 hour as label_known_at
from hours
cross join newest
left join next_failure on hours.machine_id = next_failure.machine_id and hours.hour_at = next_failure.hour_at
left join standing on hours.machine_id = standing.machine_id and hours.hour_at = standing.hour_at
