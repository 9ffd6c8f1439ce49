{{ config(feed='cmms__work_order') }}

{{ stage('cmms__work_order') }}
