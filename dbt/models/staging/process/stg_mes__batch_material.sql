{{ config(feed='mes__batch_material') }}

{{ stage('mes__batch_material') }}
