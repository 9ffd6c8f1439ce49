{{ config(feed='tester__module') }}

{{ stage('tester__module') }}
