{{ config(days='machine_hour_days') }}

{%- set days = rebuild_days('machine_hour_days') %}
{%- set names = site_plan().machine_hour %}

{{ rebuild_note(days) }}
with hours as (
    select
        machine_id,
        event_at as hour_at,
        production_day,
        known_at,
        epoch(event_at) / 3600 as hour_no,
        {{ quoted(names) }}
    from {{ ref('stg_historian__machine_hour') }}
    {%- if days is not none %}
    where {{ in_days('production_day', days) }}
        or {{ in_days('production_day + 1', days) }}
    {%- endif %}
),

-- Sums of doubles depend on their order in the last bits; as single precision they are the same on every run.
rolled as (
    select
        *,
        {%- for name in names %}
        (avg("{{ name }}") over six)::float as "{{ name }}_mean_6h",
        (avg("{{ name }}") over day)::float as "{{ name }}_mean_24h",
        (regr_slope("{{ name }}", hour_no) over six)::float as "{{ name }}_slope_6h",
        (regr_slope("{{ name }}", hour_no) over day)::float as "{{ name }}_slope_24h",
        {%- endfor %}
        max(known_at) over day as features_known_at
    from hours
    window
        six as (partition by machine_id order by hour_at range between interval 5 hour preceding and current row),
        day as (partition by machine_id order by hour_at range between interval 23 hour preceding and current row)
),

-- A work order counts from the moment it has happened and is known. The hour itself is what it is compared with, not
-- the hour's known_at: a record that came a day late would see the failure that it is to foretell.
work as (
    select
        machine_id,
        type_code,
        greatest(closed_at, known_at) as counts_from,
        max(closed_at) as closed_at
    from {{ ref('stg_cmms__work_order') }}
    where closed_at is not null
    group by all
),

failure as (
    select
        machine_id,
        greatest(opened_at, known_at) as counts_from,
        max(opened_at) as opened_at
    from {{ ref('stg_cmms__work_order') }}
    where type_code = 'breakdown'
    group by all
)

select
    rolled.machine_id,
    rolled.hour_at,
    rolled.production_day,
    machine.machine_class,
    machine.step_code,
    machine.line_code,
    {%- for name in names %}
    rolled."{{ name }}",
    {%- endfor %}
    {%- for name in names %}
    rolled."{{ name }}_mean_6h",
    rolled."{{ name }}_mean_24h",
    rolled."{{ name }}_slope_6h",
    rolled."{{ name }}_slope_24h",
    {%- endfor %}
    (epoch(rolled.hour_at) - epoch(service.closed_at)) / 3600 as hours_since_maintenance_h,
    (epoch(rolled.hour_at) - epoch(failure.opened_at)) / 3600 as hours_since_failure_h,
    rolled.features_known_at as known_at
from rolled
left join ({{ machine_dimension() }}) as machine on rolled.machine_id = machine.machine_id
asof left join work as service
    on rolled.machine_id = service.machine_id and rolled.hour_at >= service.counts_from
asof left join failure
    on rolled.machine_id = failure.machine_id and rolled.hour_at >= failure.counts_from
where {{ in_days('rolled.production_day', days) }}
