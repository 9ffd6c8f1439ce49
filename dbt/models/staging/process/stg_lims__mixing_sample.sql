{{ config(feed='lims__mixing_sample') }}

{{ stage('lims__mixing_sample') }}
