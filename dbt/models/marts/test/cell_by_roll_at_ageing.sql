{{ config(materialized='lake_view') }}

{%- set measured = site_plan().cell | map(attribute='code') | list %}

-- A roll is shown once each of its cells has left formation or the line: its means must not move afterwards.
with under_way as (
    select distinct cathode_mother_roll_id
    from {{ ref('cell') }}
    where scrapped_step_code is null and tester__formation_known_at is null and ageing_at is null
)

select
    aged.cathode_mother_roll_id as mother_roll_id,
    min(aged.production_day) as production_day,
    min_by(aged.product_code, aged.cell_id) as product_code,
    min_by(aged.line_code, aged.cell_id) as line_code,
    min_by(aged.shift_code, aged.cell_id) as shift_code,
    min_by(aged.cell_lot_id, aged.cell_id) as cell_lot_id,
    min_by(aged.lfp_supplier_code, aged.cell_id) as lfp_supplier_code,
    min_by(aged.electrolyte_supplier_code, aged.cell_id) as electrolyte_supplier_code,
    max(aged.entered_at) as entered_at,
    {%- for column in site_plan().cell_at.ageing if column.code in measured %}
    avg(aged."{{ column.code }}") as "{{ column.code }}",
    {%- endfor %}
    count(*) as cell_count
from {{ ref('cell_at_ageing') }} as aged
left join under_way on aged.cathode_mother_roll_id = under_way.cathode_mother_roll_id
where aged.cathode_mother_roll_id is not null and under_way.cathode_mother_roll_id is null
group by aged.cathode_mother_roll_id
