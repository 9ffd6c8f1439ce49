{#- What was known of a batch or a roll when a step was done with it; columns of characteristics follow from the plan. -#}

{#- The lots that went into the record, each as lot_<material>; ids gives the SQL of a material's lot id. -#}
{% macro join_lots(view, own, foil=none) -%}
    {%- for material in site_plan().record_lots[view] %}
left join {{ ref('int_material_lot') }} as lot_{{ material }}
    on {{ foil if material.endswith('foil') else own ~ '."' ~ material ~ '_lot_id"' }} = lot_{{ material }}.material_lot_id
    and lot_{{ material }}.material_code = '{{ material }}'
    {%- endfor %}
{%- endmacro %}

{#- Columns of the view: what is told in line as it is, anything else where it was known by the moment. -#}
{% macro seen_by(view, moment) -%}
    {%- for column in site_plan().record_in[view] %}
    {% if column.known_at -%}
    case when {{ column.alias }}."{{ column.known_at }}" <= {{ moment }} then {{ column.alias }}."{{ column.column }}" end
    {%- else -%}
    {{ column.alias }}."{{ column.column }}"
    {%- endif %} as "{{ column.code }}"{{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}
