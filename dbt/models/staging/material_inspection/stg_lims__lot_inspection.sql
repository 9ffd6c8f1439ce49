{{ config(feed='lims__lot_inspection') }}

{{ stage('lims__lot_inspection') }}
