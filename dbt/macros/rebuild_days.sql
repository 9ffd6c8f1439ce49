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

{#-
    What this model's newest build had seen, as pipelines/curation asked once for all models; none when it was built
    otherwise than it would be now, or when nothing is known of it, as when dbt is called by hand.
-#}
{% macro last_build() -%}
    {%- set built = var('last_builds', {}).get(this.identifier) -%}
    {{ return(built if built is not none and built.fingerprint == fingerprint() and not flags.FULL_REFRESH else none) }}
{%- endmacro %}

{#-
    Days to rebuild as a list of ISO dates; none stands for all of them. A model passes the macro of its config's
    `days`, so that dbt sees at parse time which models the macro reads, and writes rebuild_note(days) into its SQL.

    All is asked in one query, and each table of the lake once: a statement costs the lake 20 ms, a table in it 10.
-#}
{% macro rebuild_days(days_macro=none) -%}
    {%- if not execute -%}
        {%- if days_macro is not none -%}{%- do context[days_macro]() -%}{%- endif -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set built = last_build() -%}
    {%- if built is none -%}{{ return(none) }}{%- endif -%}
    {%- set query -%}
        with
        {% if days_macro is none -%}
        affected as materialized (
            select distinct production_day from lake.ops.affected_day
            where feed = '{{ config.get('feed') }}' and batch_id > {{ built.up_to_batch_id }}
        )
        {%- else -%}
        model_day as materialized (
            select model, production_day from lake.ops.model_day where build_no > {{ built.build_no }}
        )
        {%- endif %}
        select string_agg(production_day::varchar, ' ' order by production_day)
        from ({{ context[days_macro]() if days_macro is not none else feed_days(config.get('feed')) }})
    {%- endset -%}
    {{ return((run_query(query).rows[0][0] or '').split()) }}
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
    Days of a feed with new records: those that ingestion touched, and those that hold an older record of the same
    keys, because a correction may move a record to another production day.
-#}
{% macro feed_days(feed) -%}
    {%- set raw = source('raw', feed) -%}
    {%- set plan = site_plan()['feeds'][feed] -%}
    {%- if plan.shape == 'series' or 'event_at' in plan['keys'] -%}
        from affected
    {%- else -%}
        select distinct production_day from {{ raw }}
        where ({{ quoted(plan['keys']) }}) in (
            select ({{ quoted(plan['keys']) }}) from {{ raw }} where production_day in (from affected)
        )
        union from affected
    {%- endif -%}
{%- endmacro %}

{#- Days that a model further up rebuilt since this one's build. -#}
{% macro days_since(model_name) -%}
    (select production_day from model_day where model = '{{ model_name }}')
{%- endmacro %}

{#- For models whose days are those of the models they read, one to one. -#}
{% macro same_days() -%}
    select distinct production_day from model_day where model in ({{ literals(config.get('days_of')) }})
{%- endmacro %}

{#- For models that set a day beside all earlier ones: the days of the models they read, and every later one. -#}
{% macro same_and_later_days() -%}
    select distinct production_day from (
        {%- for name in config.get('days_of') %}
        select production_day from {{ ref(name) }}
        {{- ' union all' if not loop.last }}
        {%- endfor %}
    )
    where production_day >= (
        select min(production_day) from model_day where model in ({{ literals(config.get('days_of')) }})
    )
    union {{ same_days() }}
{%- endmacro %}

{#- For models that also look at the neighbours of a row, which may be of the day before or after. -#}
{% macro days_and_next() -%}
    select distinct production_day + shift as production_day
    from model_day cross join (values (-1), (0), (1)) as neighbour (shift)
    where model in ({{ literals(config.get('days_of')) }})
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
