{#-
    by_day: a table that is rebuilt day by day.

    The first time, and when the model or the plan changed, the whole table is made; later only rebuild_days() are
    deleted and inserted. Rows and the note of the build commit together, so a killed run leaves neither or both.
    config: days (macro giving the query of the days; staging models leave it out), feed, partitioned (bool), days_from
    (the model whose days it has: the whole table is then made month by month, for what is too wide for one go).
-#}
{% materialization by_day, adapter='duckdb' %}
    {%- set target = this.incorporate(type='table') -%}
    {%- set days = noted_days(sql) -%}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- if days is none -%}
        {%- do create_empty(target, sql) -%}
        {%- for stretch in stretches() -%}
            {%- call statement('main') -%} {{ insert_rows(target, sql, stretch) }} {%- endcall -%}
        {%- endfor -%}
    {%- elif days | length > 0 -%}
        {%- call statement('delete') -%}
            delete from {{ target }} where {{ in_days('production_day', days) }}
        {%- endcall -%}
        {%- call statement('main') -%} {{ insert_rows(target, sql) }} {%- endcall -%}
    {%- else -%}
        {%- call statement('main') -%} select 0 as unchanged {%- endcall -%}
    {%- endif -%}
    {%- if days is none or days | length > 0 -%}{%- do log_build(days) -%}{%- endif -%}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}

{#-
    series_by_day: a by_day table for millions of rows a day.

    Each day is inserted on its own. Only where a key occurs twice within the day is anything compared; a day that was
    not delivered sorted is sorted, a clean one copied as it is. A day that was delivered sorted shows that by each key
    being above the one before it, which takes a fifth of the time of counting every key.
-#}
{% materialization series_by_day, adapter='duckdb' %}
    {%- set target = this.incorporate(type='table') -%}
    {%- set days = noted_days(sql) -%}
    {%- set feed = config.get('feed') -%}
    {%- set raw = source('raw', feed) -%}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- if days is none -%}
        {%- do create_empty(target, sql) -%}
        {%- set todo = run_query("select distinct production_day::varchar from " ~ raw ~ " order by 1").columns[0].values() -%}
    {%- else -%}
        {%- set todo = days -%}
        {%- if days | length > 0 -%}
            {%- call statement('delete') -%}
                delete from {{ target }} where {{ in_days('production_day', days) }}
            {%- endcall -%}
        {%- endif -%}
    {%- endif -%}
    {%- for day in todo -%}
        {%- call statement('day') -%} {{ insert_series_day(target, sql, feed, raw, day) }} {%- endcall -%}
    {%- endfor -%}
    {%- call statement('main') -%} select {{ todo | length }} as days {%- endcall -%}
    {%- if days is none or days | length > 0 -%}{%- do log_build(days) -%}{%- endif -%}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}

{% macro insert_series_day(target, sql, feed, raw, day) -%}
    {%- set plan = site_plan()['feeds'][feed] -%}
    {%- set keys = quoted(plan['keys']) -%}
    {%- set of_day = raw ~ " where production_day = date '" ~ day ~ "'" -%}
    {%- set doubled -%}
        select {{ keys }} from {{ of_day }} group by all having count(*) > 1
    {%- endset -%}
    {%- set is_sorted = is_empty(out_of_order(keys, of_day)) -%}
    {%- if is_sorted or is_empty(doubled) -%}
        insert into {{ target }} by name select * from ({{ sql }}) where production_day = date '{{ day }}'
        {%- if not is_sorted %} order by {{ keys }}{% endif -%}
    {%- else -%}
        insert into {{ target }} by name
        with doubled as ({{ doubled }}), rows_of_day as (select * from ({{ sql }}) where production_day = date '{{ day }}')
        select * from rows_of_day anti join doubled using ({{ keys }})
        union all
        select * from (
            select * from rows_of_day semi join doubled using ({{ keys }})
            qualify row_number() over (partition by {{ keys }} order by known_at desc, hash({{ quoted(plan.columns | map(attribute='name') | list) }}) desc) = 1
        )
        order by {{ keys }}
    {%- endif -%}
{%- endmacro %}

{#- Rows whose key is not above that of the row before them, as they are read; none means that no key is there twice. -#}
{% macro out_of_order(keys, rows) -%}
    select key from (select row({{ keys }}) as key, lag(row({{ keys }})) over () as key_before from {{ rows }})
    where key <= key_before
{%- endmacro %}

{% macro is_empty(query) -%}
    {{ return((run_query("select count(*) from (" ~ query ~ ")").rows[0][0] | int) == 0) }}
{%- endmacro %}

{#- lake_view: a view that is only replaced when its own SQL, a macro or the plan changed. -#}
{% materialization lake_view, adapter='duckdb' %}
    {%- set target = this.incorporate(type='view') -%}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- if last_build() is none -%}
        {%- if config.get('contract').enforced -%}{{ get_assert_columns_equivalent(sql) }}{%- endif -%}
        {%- call statement('main') -%}
            create or replace view {{ target }} as ({{ sql }})
        {%- endcall -%}
        {%- do log_build(none) -%}
    {%- else -%}
        {%- call statement('main') -%} select 0 as unchanged {%- endcall -%}
    {%- endif -%}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}

{#- The empty table: as the contract says, else as the query gives it. -#}
{% macro create_empty(target, sql) -%}
    {%- if config.get('contract').enforced -%}
        {%- call statement('create') -%}
            {{ get_assert_columns_equivalent(sql) }}
            create or replace table {{ target }} {{ get_table_columns_and_constraints() }}
        {%- endcall -%}
    {%- else -%}
        {%- call statement('create') -%}
            create or replace table {{ target }} as select * from ({{ sql }}) limit 0
        {%- endcall -%}
    {%- endif -%}
    {%- if config.get('partitioned', false) -%}
        {%- call statement('partition') -%} alter table {{ target }} set partitioned by (production_day) {%- endcall -%}
    {%- endif -%}
{%- endmacro %}

{% macro insert_rows(target, sql, condition='true') -%}
    insert into {{ target }} by name select * from ({{ sql }}) where {{ condition }}
{%- endmacro %}

{#- Conditions that part a whole table into months, each as many cells as memory was laid out for; one without days_from. -#}
{% macro stretches() -%}
    {%- set source = config.get('days_from') -%}
    {%- if source is none -%}{{ return(['true']) }}{%- endif -%}
    {%- set months = run_query(
        "select distinct date_trunc('month', production_day)::date::varchar from " ~ ref(source) ~ " order by 1"
    ).columns[0].values() -%}
    {%- set conditions = ['false'] if months | length == 0 else [] -%}
    {%- for month in months -%}
        {%- do conditions.append("date_trunc('month', production_day) = date '" ~ month ~ "'") -%}
    {%- endfor -%}
    {{ return(conditions) }}
{%- endmacro %}
