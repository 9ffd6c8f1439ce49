{{ config(feed='ems__meter_interval') }}

{{ stage('ems__meter_interval') }}
