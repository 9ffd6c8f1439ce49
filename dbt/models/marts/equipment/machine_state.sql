{{ config(days='same_days', days_of=['stg_scada__machine_state']) }}

{%- set days = rebuild_days('same_days') %}

{{ rebuild_note(days) }}
-- A state is cut where a shift ends, and what was counted in it goes to the pieces by their time. What a state lasts
-- beyond the end of its production day stays in the day's last shift: states are to be delivered cut there.
with state as (
    select
        *,
        epoch_us(ended_at) - epoch_us(event_at) as duration_us
    from {{ ref('stg_scada__machine_state') }}
    where {{ in_days('production_day', days) }}
),

cut as (
    select
        state.machine_id,
        state.production_day,
        shift.shift_code,
        shift.shift_from_at,
        shift.shift_to_at,
        greatest(state.event_at, shift.shift_from_at) as begun_at,
        case when shift.is_last then state.ended_at else least(state.ended_at, shift.shift_to_at) end as ended_at,
        state.state_code,
        state.reason_code,
        state.produced_count,
        state.good_count,
        state.duration_us,
        state.known_at
    from state
    inner join ({{ shift_calendar('(select distinct production_day from state)') }}) as shift
        on state.production_day = shift.production_day
        and (state.event_at < shift.shift_to_at or shift.is_last)
        -- A state without a duration may hold a count; it is in the shift that it begins in.
        and (state.ended_at > shift.shift_from_at or state.event_at >= shift.shift_from_at)
)

select
    cut.machine_id,
    cut.begun_at,
    cut.production_day,
    cut.shift_code,
    cut.shift_from_at,
    cut.shift_to_at,
    cut.ended_at,
    cut.state_code,
    cut.reason_code,
    machine.machine_class,
    machine.step_code,
    machine.line_code,
    oee.ideal_rate_per_h,
    oee.machine_id is not null as is_in_oee,
    cut.produced_count * part.of_state as produced_count,
    cut.good_count * part.of_state as good_count,
    cut.known_at
from cut
cross join lateral (
    select
        case when cut.duration_us > 0 then (epoch_us(cut.ended_at) - epoch_us(cut.begun_at)) / cut.duration_us else 1.0 end
            as of_state
) as part
left join ({{ machine_dimension() }}) as machine on cut.machine_id = machine.machine_id
left join ({{ oee_machines() }}) as oee on cut.machine_id = oee.machine_id
