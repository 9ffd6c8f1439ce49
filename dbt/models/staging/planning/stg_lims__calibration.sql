{{ config(feed='lims__calibration') }}

{{ stage('lims__calibration') }}
