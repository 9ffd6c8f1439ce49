{{ config(feed='ems__weather') }}

{{ stage('ems__weather') }}
