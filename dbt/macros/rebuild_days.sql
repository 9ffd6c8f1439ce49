{#-
    Which production days a model has to build again.

    ops.affected_day (written by ingestion, in the transaction of the rows) says which days of a feed were touched.
    Each model writes the days that it rebuilt into ops.model_day, in the transaction of its own rows, under a build
    number; a model further down rebuilds the days that follow from those with a higher number than its own.
-#}

{#- Changes when the model's own SQL, a macro or the part of the plan that it reads changes. -#}
{% macro fingerprint() -%}
    {{ return(model_fingerprints().get(this.identifier, 'unknown')) }}
{%- endmacro %}

{#- Column of this model's newest build; 0 or empty when it was never built. -#}
{% macro last_build(column, otherwise) -%}
    (select coalesce(max_by({{ column }}, build_no), {{ otherwise }}) from lake.ops.model_build where model = '{{ this.identifier }}')
{%- endmacro %}

{#-
    Days to rebuild as a list of ISO dates; none stands for all of them. A model passes the macro of its config's
    `days`, so that dbt sees at parse time which models the macro reads, and writes rebuild_note(days) into its SQL.

    All is asked in one query: each statement outside a transaction costs the lake 20 ms.
-#}
{% macro rebuild_days(days_macro=none) -%}
    {%- if not execute -%}
        {%- if days_macro is not none -%}{%- do context[days_macro]('0') -%}{%- endif -%}
        {{ return(none) }}
    {%- endif -%}
    {%- if flags.FULL_REFRESH -%}{{ return(none) }}{%- endif -%}
    {%- if days_macro is none -%}
        {%- set query = feed_days(config.get('feed'), last_build('up_to_batch_id', 0)) -%}
    {%- else -%}
        {%- set query = context[days_macro](last_build('build_no', 0)) -%}
    {%- endif -%}
    {%- set row = run_query(
        "select " ~ last_build('fingerprint', "''") ~ ", "
        ~ "(select string_agg(production_day::varchar, ' ' order by production_day) from (" ~ query ~ "))"
    ).rows[0] -%}
    {%- if row[0] != fingerprint() -%}{{ return(none) }}{%- endif -%}
    {{ return((row[1] or '').split()) }}
{%- endmacro %}

{#- The days as a comment at the head of the compiled SQL, for the materialization to read. -#}
{% macro rebuild_note(days) -%}
    /* rebuild {{ tojson(days) }} */
{%- endmacro %}

{% macro noted_days(sql) -%}
    {%- set note = modules.re.search('/\* rebuild (.*?) \*/', sql) -%}
    {%- if note is none -%}
        {{ exceptions.raise_compiler_error("the model's SQL has no rebuild_note(days)") }}
    {%- endif -%}
    {{ return(fromjson(note.group(1))) }}
{%- endmacro %}

{#-
    Days of a feed since a batch: those that ingestion touched, and those that hold an older record of the same
    keys, because a correction may move a record to another production day.
-#}
{% macro feed_days(feed, batch_id) -%}
    {%- set raw = source('raw', feed) -%}
    {%- set plan = site_plan()['feeds'][feed] -%}
    {%- set affected -%}
        select production_day from lake.ops.affected_day where feed = '{{ feed }}' and batch_id > {{ batch_id }}
    {%- endset -%}
    {%- if plan.shape == 'series' or 'event_at' in plan['keys'] -%}
        select distinct production_day from ({{ affected }})
    {%- else -%}
        select distinct production_day from {{ raw }}
        where ({{ quoted(plan['keys']) }}) in (
            select ({{ quoted(plan['keys']) }}) from {{ raw }} where production_day in ({{ affected }})
        )
        union select production_day from ({{ affected }})
    {%- endif -%}
{%- endmacro %}

{#- Days that a model further up rebuilt since this one's build. -#}
{% macro days_since(model_name, build_no) -%}
    (select production_day from lake.ops.model_day where model = '{{ model_name }}' and build_no > {{ build_no }})
{%- endmacro %}

{#- For models whose days are those of the models they read, one to one. -#}
{% macro same_days(build_no) -%}
    select distinct production_day from lake.ops.model_day
    where build_no > {{ build_no }} and model in ({{ literals(config.get('days_of')) }})
{%- endmacro %}

{#- `column in (days)`, or true when all days are built. -#}
{% macro in_days(column, days) -%}
    {%- if days is none -%} true
    {%- elif days | length == 0 -%} false
    {%- else -%} {{ column }} in (
        {%- for day in days -%} date '{{ day }}'{%- if not loop.last -%}, {% endif -%}{%- endfor -%}
    )
    {%- endif -%}
{%- endmacro %}

{#- Writes down what was built, in the transaction that built it. -#}
{% macro log_build(days) -%}
    {%- set name = this.identifier -%}
    {%- call statement('log_build') -%}
        insert into lake.ops.model_build
        select
            '{{ name }}', coalesce(max(build_no), 0) + 1,
            (select coalesce(max(batch_id), 0) from lake.ops.affected_day), '{{ fingerprint() }}'
        from lake.ops.model_build
    {%- endcall -%}
    {%- if config.get('materialized') != 'lake_view' -%}
        {%- set build_no = '(select max(build_no) from lake.ops.model_build)' -%}
        {%- call statement('log_days') -%}
            insert into lake.ops.model_day
            {% if days is none -%}
            select '{{ name }}', production_day, {{ build_no }} from {{ this }} group by all
            {%- else -%}
            select '{{ name }}', unnest([
                {%- for day in days -%} date '{{ day }}'{{ ', ' if not loop.last }} {%- endfor -%}
            ]), {{ build_no }}
            {%- endif %}
        {%- endcall -%}
    {%- endif -%}
{%- endmacro %}
