{%- set groups = site_plan().parameters %}
{%- set feeds = [
    'stg_mes__slurry_batch', 'stg_mes__mother_roll', 'stg_mes__calendering', 'stg_mes__daughter_roll',
    'stg_mes__stacking', 'stg_mes__assembly', 'stg_mes__filling', 'stg_tester__formation', 'stg_tester__ageing',
    'stg_tester__grading',
] %}
{{ config(days='same_and_later_days', days_of=feeds) }}

-- The days of all of them are asked for, whether a site's plan names a parameter of theirs or not.
{%- for name in feeds %}
-- depends_on: {{ ref(name) }}
{%- endfor %}
{%- set days = rebuild_days('same_and_later_days') %}

{{ rebuild_note(days) }}
with told as (
    {%- for group in groups %}
    select
        told.{{ group.machine }}{{ ' as machine_id' if group.machine != 'machine_id' }},
        told.production_day,
        shift.shift_from_at,
        unnest([
            {%- for each in group.parameters %}
            {
                'characteristic_code': '{{ each.code }}',
                'nominal': {{ each.nominal }}::double,
                'parameter_count': count(told."{{ each.column }}"),
                'parameter_mean': avg(told."{{ each.column }}")::float
            }{{ ',' if not loop.last }}
            {%- endfor %}
        ], recursive := true),
        max(told.known_at) as known_at
    from {{ ref('stg_' ~ group.feed) }} as told
    inner join ({{ shift_calendar('(select distinct production_day from ' ~ ref('stg_' ~ group.feed) ~ ')') }}) as shift
        on told.production_day = shift.production_day
        and told.event_at >= shift.shift_from_at
        and told.event_at < shift.shift_to_at
    where told.{{ group.machine }} is not null
        {%- if group.electrode %} and told.electrode_code = '{{ group.electrode }}'{% endif %}
    group by told.{{ group.machine }}, told.production_day, shift.shift_from_at
    {%- if not loop.last %}
    union all by name
    {%- endif %}
    {%- endfor %}
),

-- As decimals, whose sums don't depend on their order.
ran as (
    select
        *,
        machine_id || '/' || characteristic_code as series_code,
        (parameter_mean - nominal)::decimal(18, 9) as away
    from told
    where parameter_count > 0
),

-- The earlier shifts of the same machine: how many, their mean, and how much they vary. A mean of few records varies
-- more than one of many: each weighs by how many it has.
past as (
    select
        *,
        count(*) over earlier as shift_count,
        sum(parameter_count) over earlier as weight,
        (sum((parameter_count * away)::decimal(38, 9)) over earlier)::double as summed,
        (sum((parameter_count * away::double * away)::decimal(38, 15)) over earlier)::double as squared
    from ran
    window earlier as (
        partition by series_code order by shift_from_at
        rows between unbounded preceding and 1 preceding
    )
),

beside_past as (
    select
        *,
        shift_count - 1 as free,
        (away - summed / weight) / nullif(
            sqrt(
                greatest(squared - summed * summed / weight, 0) / (shift_count - 1.0)
                * (1 / parameter_count + 1 / weight)
            ), 0
        ) as student_t
    from past
)

select
    machine_id,
    characteristic_code,
    series_code,
    shift_from_at,
    production_day,
    nominal,
    parameter_count,
    parameter_mean,
    -- Quesenberry's Q for an unknown mean and an unknown spread, Student's t made normal as Wallace (1959) does:
    -- standard normal while the machine does not change. Of fewer shifts nobody can say how much they vary.
    case when shift_count >= 4 then
        sign(student_t) * (8 * free + 1) / (8 * free + 3) * sqrt(free * ln(1 + student_t * student_t / free))
    end::float as deviation_sigma,
    known_at
from beside_past
where {{ in_days('production_day', days) }}
