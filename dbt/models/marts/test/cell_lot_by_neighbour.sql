{{ config(days='days_and_next', days_of=['cell']) }}

{%- set plan = site_plan() %}
{%- set days = rebuild_days('days_and_next') %}
{#- A record that is lost, the lots it would have named, and what tells that the cell went on. -#}
{%- set lost = {
    'mes__assembly': 'coalesce(filling_at, formation_at, ageing_at, grading_at)',
    'mes__filling': 'coalesce(formation_at, ageing_at, grading_at)',
} %}

{{ rebuild_note(days) }}
-- A cell whose record was lost was made between others of its line, from one of the lots that they were made from: all of
-- them are told, for a recall may find a cell too many and none too few.
with stacked as (
    select
        cell_id,
        production_day,
        line_code,
        {%- for material in plan.materials if lot_feed(material) in lost %}
        "{{ material }}_lot_id",
        {%- endfor %}
        {%- for feed, went_on in lost.items() %}
        {{ feed }}_known_at,
        {{ feed }}_known_at is null and {{ went_on }} is not null as {{ feed }}_is_lost,
        {%- endfor %}
        row_number() over (partition by line_code order by stacking_at, cell_id) as place
    from {{ ref('cell') }}
),

named as (
    {%- for feed in lost %}
    {%- set materials = [] %}
    {%- for material in plan.materials if lot_feed(material) == feed %}
        {%- do materials.append(material) %}
    {%- endfor %}
    {{ 'union all' if not loop.first }}
    select
        lost.cell_id,
        lost.production_day,
        unnest([{{ literals(materials) }}]) as material_code,
        unnest([{%- for material in materials -%}
            neighbour."{{ material }}_lot_id"{{ ', ' if not loop.last }}
        {%- endfor -%}]) as material_lot_id,
        neighbour.{{ feed }}_known_at as known_at
    from stacked as lost
    inner join stacked as neighbour
        on lost.line_code = neighbour.line_code
        and neighbour.place between lost.place - 10 and lost.place + 10
        and neighbour.{{ feed }}_known_at is not null
    where lost.{{ feed }}_is_lost and {{ in_days('lost.production_day', days) }}
    {%- endfor %}
)

select
    cell_id,
    production_day,
    material_code,
    material_lot_id,
    count(*) as neighbour_count,
    max(known_at) as known_at
from named
where material_lot_id is not null
group by all
