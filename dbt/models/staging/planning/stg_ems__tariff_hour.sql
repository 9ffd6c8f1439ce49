{{ config(feed='ems__tariff_hour') }}

{{ stage('ems__tariff_hour') }}
