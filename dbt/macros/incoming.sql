{#- What the plan asks of each characteristic of a material. -#}
{% macro material_limits() -%}
    select * from (values
        {%- for row in site_plan().material_limits %}
        ('{{ row.code }}', '{{ row.material }}', '{{ row.unit }}', {{ row.lsl }}::double, {{ row.usl }}::double,
         {{ row.gauge_sd }}::double, {{ row.sigma }}::double){{ ',' if not loop.last }}
        {%- endfor %}
    ) as limits (characteristic_code, material_code, unit_code, lsl, usl, gauge_sd, sigma)
{%- endmacro %}

{#- Inspections of lots: new ones, and those of a lot that is new. -#}
{% macro lot_inspection_days() -%}
    {{ days_of_new('stg_lims__lot_inspection', 'material_lot_id', new_lots()) }}
{%- endmacro %}

{#- Characteristics of lots: a value tells on every later lot of its supplier, so that one new lot asks for all days. -#}
{% macro lot_characteristic_days() -%}
    select distinct production_day from {{ ref('stg_erp__material_lot') }}
    where exists (
        select * from model_day
        where model in ('stg_erp__material_lot', 'stg_lims__material_result', 'stg_lims__certificate')
    )
    union select production_day from {{ days_since('stg_erp__material_lot') }}
{%- endmacro %}
