{{ config(feed='lims__roll_result') }}

{{ stage('lims__roll_result') }}
