{{ config(days='formation_channel_days') }}

{%- set days = rebuild_days('formation_channel_days') %}
{%- set names = ['contact_resistance_mohm', 'channel_current_error_pct', 'cv_time_s', 'formation_resistance_mohm',
                 'charge_capacity_ah'] %}
{%- set channel_past = 'partition by channel_id order by production_day
        rows between unbounded preceding and 1 preceding' %}

{{ rebuild_note(days) }}
with peers as (
    select
        channel_id,
        machine_id,
        production_day,
        known_at,
        {%- for name in names %}
        "{{ name }}" - median("{{ name }}") over cabinet as "{{ name }}"{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('stg_tester__formation') }}
    window cabinet as (partition by machine_id, production_day)
),

-- Sums as decimals, so that they don't depend on their order.
channel_day as (
    select
        channel_id,
        machine_id,
        production_day,
        count(*) as cell_count,
        {%- for name in names %}
        count("{{ name }}") as "{{ name }}_count",
        sum("{{ name }}"::decimal(18, 6)) as "{{ name }}_sum",
        {%- endfor %}
        max(known_at) as known_at
    from peers
    group by all
),

-- Each channel beside its own earlier days: as much as a single cell varies, whatever the number of cells.
beside_past as (
    select
        *,
        {%- for name in names %}
        ("{{ name }}_sum"::double / "{{ name }}_count" - sum("{{ name }}_sum") over past / sum("{{ name }}_count") over past)
        / sqrt(1 / "{{ name }}_count" + 1 / sum("{{ name }}_count") over past) as "{{ name }}_away"
        {{- ',' if not loop.last }}
        {%- endfor %}
    from channel_day
    window past as ({{ channel_past }})
),

-- How much cells vary within the channels of a cabinet; by medians, which one bad channel of many does not move.
cabinet_day as (
    select
        machine_id,
        production_day,
        {%- for name in names %}
        1.4826 * median(abs("{{ name }}_away")) as "{{ name }}_spread"{{ ',' if not loop.last }}
        {%- endfor %}
    from beside_past
    group by all
),

cabinet_past as (
    select
        machine_id,
        production_day,
        {%- for name in names %}
        avg("{{ name }}_spread"::decimal(18, 6)) over past as "{{ name }}_spread"{{ ',' if not loop.last }}
        {%- endfor %}
    from cabinet_day
    window past as (
        partition by machine_id order by production_day
        rows between unbounded preceding and 1 preceding
    )
)

select
    beside_past.channel_id,
    beside_past.machine_id,
    beside_past.production_day,
    beside_past.cell_count,
    {%- for name in names %}
    (beside_past."{{ name }}_sum" / beside_past."{{ name }}_count")::float
        as "{{ name.rsplit('_', 1)[0] }}_against_cabinet_{{ name.rsplit('_', 1)[1] }}",
    {%- endfor %}
    {%- for name in names %}
    -- Quesenberry's Q for an unknown mean and a known spread: standard normal while the channel does not change.
    (beside_past."{{ name }}_away" / nullif(cabinet_past."{{ name }}_spread", 0))::float
        as "{{ name.rsplit('_', 1)[0] }}_deviation_sigma",
    {%- endfor %}
    beside_past.known_at
from beside_past
inner join cabinet_past
    on beside_past.machine_id = cabinet_past.machine_id
    and beside_past.production_day = cabinet_past.production_day
where {{ in_days('beside_past.production_day', days) }}
