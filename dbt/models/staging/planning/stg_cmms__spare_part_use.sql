{{ config(feed='cmms__spare_part_use') }}

{{ stage('cmms__spare_part_use') }}
