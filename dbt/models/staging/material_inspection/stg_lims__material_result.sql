{{ config(feed='lims__material_result') }}

{{ stage('lims__material_result') }}
