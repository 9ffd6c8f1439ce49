{{ config(feed='ems__dry_room_hour') }}

{{ stage('ems__dry_room_hour') }}
