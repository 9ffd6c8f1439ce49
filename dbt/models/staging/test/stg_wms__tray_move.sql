{{ config(feed='wms__tray_move') }}

{{ stage('wms__tray_move') }}
