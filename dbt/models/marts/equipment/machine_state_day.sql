{{ config(days='same_days', days_of=['stg_scada__machine_state']) }}

{%- set days = rebuild_days('same_days') %}

{{ rebuild_note(days) }}
-- Times after ISO 22400-2 from PackML states: Execute is actual production time; Stopped is planned, so what remains
-- is planned busy time; Held and Aborted are the machine's own losses, Suspended those of its neighbours.
with state as (
    select
        machine_id,
        production_day,
        state_code,
        epoch(ended_at) - epoch(event_at) as duration_s,
        produced_count,
        good_count,
        known_at
    from {{ ref('stg_scada__machine_state') }}
    where {{ in_days('production_day', days) }}
),

summed as (
    select
        machine_id,
        production_day,
        sum(duration_s) as total_s,
        coalesce(sum(duration_s) filter (where state_code = 'Execute'), 0) as execute_s,
        coalesce(sum(duration_s) filter (where state_code in ('Held', 'Holding', 'Unholding')), 0) as held_s,
        coalesce(sum(duration_s) filter (where state_code in ('Suspended', 'Suspending', 'Unsuspending')), 0)
            as suspended_s,
        coalesce(sum(duration_s) filter (where state_code in ('Aborted', 'Aborting', 'Clearing')), 0) as aborted_s,
        coalesce(sum(duration_s) filter (where state_code in ('Stopped', 'Stopping')), 0) as stopped_s,
        coalesce(sum(duration_s) filter (
            where state_code in ('Idle', 'Resetting', 'Starting', 'Completing', 'Complete')
        ), 0) as idle_s,
        sum(produced_count) as produced_count,
        sum(good_count) as good_count,
        max(known_at) as known_at
    from state
    group by machine_id, production_day
)

select
    summed.machine_id,
    summed.production_day,
    machine.machine_class,
    machine.step_code,
    machine.line_code,
    oee.ideal_rate_per_h,
    oee.machine_id is not null as is_in_oee,
    summed.total_s,
    summed.execute_s,
    summed.held_s,
    summed.suspended_s,
    summed.aborted_s,
    summed.stopped_s,
    summed.idle_s,
    summed.total_s - summed.stopped_s as planned_busy_s,
    summed.produced_count,
    summed.good_count,
    summed.execute_s / nullif(summed.total_s - summed.stopped_s, 0) as availability,
    summed.produced_count / nullif(summed.execute_s / 3600 * oee.ideal_rate_per_h, 0) as performance,
    summed.good_count / nullif(summed.produced_count, 0) as quality,
    summed.known_at
from summed
left join ({{ machine_dimension() }}) as machine on summed.machine_id = machine.machine_id
left join ({{ oee_machines() }}) as oee on summed.machine_id = oee.machine_id
