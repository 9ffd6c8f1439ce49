{#- Schemas carry the name of their layer, without the target's prefix. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}

{#- Identifiers between double quotes, comma separated, each behind `alias.` if one is given. -#}
{% macro quoted(names, alias='') -%}
    {%- for name in names -%}
        {%- if alias -%}{{ alias }}.{%- endif -%}"{{ name }}"{%- if not loop.last -%},{{ ' ' }}{%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{#- Text values as SQL literals, comma separated. -#}
{% macro literals(values) -%}
    {%- for value in values -%}
        '{{ value | string | replace("'", "''") }}'{%- if not loop.last -%},{{ ' ' }}{%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{#- dbt asks for the schemas before each run; the information schema would read every table's statistics for it. -#}
{% macro duckdb__list_schemas(database) -%}
    {{ return(run_query("select schema_name from duckdb_schemas() where database_name = 'lake'")) }}
{%- endmacro %}
