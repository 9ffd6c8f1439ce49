{#- Steps of the site with their order. -#}
{% macro step_orders() -%}
    select * from (values
        {%- for step in site_plan().steps %}
        ('{{ step.code }}', {{ step.order }}){{ ',' if not loop.last }}
        {%- endfor %}
    ) as steps (step_code, step_order)
{%- endmacro %}

{% macro step_order(code) -%}
    {{ (site_plan().steps | selectattr('code', 'equalto', code) | first).order }}
{%- endmacro %}

{#- A number of US$ (or anything else) by step code, as a CASE over a column; 0 where the step has none. -#}
{% macro by_step(column, amounts) -%}
    case {{ column }}
        {%- for code, amount in amounts.items() %}
        when '{{ code }}' then {{ amount }}::double
        {%- endfor %}
        else 0.0::double
    end
{%- endmacro %}

{#- Local wall-clock time of a UTC moment. -#}
{% macro local_time(moment) -%}
    timezone('{{ site_plan().time_zone }}', timezone('UTC', {{ moment }}))
{%- endmacro %}

{#- Production day of a UTC moment: the local date, where the day starts at the site's day_starts_at. -#}
{% macro production_day(moment) -%}
    cast({{ local_time(moment) }} - interval {{ site_plan().day_start_s }} second as date)
{%- endmacro %}

{#- Code of the shift that a local time falls into; before the first one of a day it is still the last one. -#}
{% macro shift_code(local) -%}
    {%- set shifts = site_plan().shifts | sort(attribute='start_s', reverse=true) -%}
    case
        {%- for shift in shifts %}
        when date_part('epoch', cast({{ local }} as time)) >= {{ shift.start_s }} then '{{ shift.code }}'
        {%- endfor %}
        when {{ local }} is not null then '{{ shifts[0].code }}'
    end
{%- endmacro %}

{#- UTC moment of a local wall-clock time. -#}
{% macro utc_time(local) -%}
    timezone('UTC', timezone('{{ site_plan().time_zone }}', {{ local }}))
{%- endmacro %}

{#-
    The shifts of production days with their first and their first later moment in UTC, so that they fill the day.
    Where no shift begins with the day, what comes before the first one is the last one of the day before.
-#}
{% macro shift_calendar(days) -%}
    {%- set day_start_s = site_plan().day_start_s -%}
    {%- set ns = namespace(starts=[]) -%}
    {%- for shift in site_plan().shifts -%}
        {%- set start_s = shift.start_s if shift.start_s >= day_start_s else shift.start_s + 86400 -%}
        {%- set ns.starts = ns.starts + [{'start_s': start_s, 'code': shift.code}] -%}
    {%- endfor -%}
    {%- set starts = ns.starts | sort(attribute='start_s') -%}
    {%- if starts[0].start_s > day_start_s -%}
        {%- set starts = [{'start_s': day_start_s, 'code': starts[-1].code}] + starts -%}
    {%- endif -%}
    select
        day.production_day,
        shift.shift_code,
        shift.is_last,
        {{ utc_time('day.production_day::timestamp + to_seconds(shift.from_s)') }} as shift_from_at,
        {{ utc_time('day.production_day::timestamp + to_seconds(shift.to_s)') }} as shift_to_at
    from {{ days }} as day
    cross join (values
        {%- for shift in starts %}
        (
            '{{ shift.code }}', {{ shift.start_s }},
            {{ day_start_s + 86400 if loop.last else starts[loop.index].start_s }}, {{ loop.last }}
        ){{ ',' if not loop.last }}
        {%- endfor %}
    ) as shift (shift_code, from_s, to_s, is_last)
{%- endmacro %}

{#-
    Integral of the tariff from 1970-01-01 to a local time, in US$/kWh times hours. The mean price of a stretch of
    time is the difference of two of them over its hours.
-#}
{% macro tariff_integral(local) -%}
    {%- set periods = site_plan().cost.tariff -%}
    {%- set ns = namespace(day=0.0) -%}
    {%- for period in periods -%}
        {%- set until = 24 if loop.last else periods[loop.index].from_hour -%}
        {%- set ns.day = ns.day + period.usd_per_kwh * (until - period.from_hour) -%}
    {%- endfor -%}
    (
        floor(epoch({{ local }}) / 86400) * {{ ns.day }}::double
        {%- for period in periods %}
        {%- set until = 24 if loop.last else periods[loop.index].from_hour %}
        + {{ period.usd_per_kwh }}::double * greatest(0, least(
            (epoch({{ local }}) % 86400) / 3600 - {{ period.from_hour }}, {{ until - period.from_hour }}
        ))
        {%- endfor %}
    )
{%- endmacro %}

{#- Mean price between two local times in US$/kWh; the price at the later one where they are the same. -#}
{% macro mean_tariff(from_local, to_local) -%}
    case
        when epoch({{ to_local }}) - epoch({{ from_local }}) >= 60
            then ({{ tariff_integral(to_local) }} - {{ tariff_integral(from_local) }})
                / ((epoch({{ to_local }}) - epoch({{ from_local }})) / 3600)
        else {{ tariff_at(to_local) }}
    end
{%- endmacro %}

{#- Price in US$/kWh at a local time. -#}
{% macro tariff_at(local) -%}
    case
        {%- for period in site_plan().cost.tariff | sort(attribute='from_hour', reverse=true) %}
        when date_part('hour', {{ local }}) >= {{ period.from_hour }} then {{ period.usd_per_kwh }}::double
        {%- endfor %}
    end
{%- endmacro %}

{#- First scrap record of each entity of a type. -#}
{% macro first_scrap(entity_type) -%}
    select entity_id, min_by(step_code, event_at) as step_code
    from {{ ref('stg_mes__scrap') }}
    where entity_type_code = '{{ entity_type }}'
    group by entity_id
{%- endmacro %}

{#- Machines of the site. -#}
{% macro machine_dimension() -%}
    select * from (values
        {%- for machine in site_plan().machines %}
        ('{{ machine.machine_id }}', '{{ machine.machine_class }}', '{{ machine.step }}', '{{ machine.line }}'){{ ',' if not loop.last }}
        {%- endfor %}
    ) as machines (machine_id, machine_class, step_code, line_code)
{%- endmacro %}

{#- Machines that count into OEE, with their ideal rate. -#}
{% macro oee_machines() -%}
    select * from (values
        {%- for machine in site_plan().oee %}
        ('{{ machine.machine_id }}', '{{ machine.step }}', '{{ machine.rate_unit }}', {{ machine.ideal_rate_per_h }}::double){{ ',' if not loop.last }}
        {%- endfor %}
    ) as oee (machine_id, step_code, rate_unit, ideal_rate_per_h)
{%- endmacro %}

{#- The line's bottleneck: of the steps that make whole cells, the first one with the lowest ideal rate. -#}
{% macro bottleneck_step() -%}
    {%- set ns = namespace(step=none, rate=none) -%}
    {%- for step in site_plan().steps -%}
        {%- set rates = site_plan().oee | selectattr('step', 'equalto', step.code) | selectattr('rate_unit', 'equalto', 'cell')
            | map(attribute='ideal_rate_per_h') | list -%}
        {%- if rates and (ns.rate is none or rates | sum < ns.rate) -%}
            {%- set ns.step = step.code -%}
            {%- set ns.rate = rates | sum -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(ns.step) }}
{%- endmacro %}
