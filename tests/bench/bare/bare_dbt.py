"""dbt alone builds and tests a whole project once: `bare_dbt.py PROJECT PROFILES TARGET` prints seconds."""

import json
import sys
import time

from dbt.cli.main import dbtRunner

project, profiles, target = sys.argv[1:4]
options = [
    "--project-dir",
    project,
    "--profiles-dir",
    profiles,
    "--target-path",
    target,
    "--log-path",
    target,
    "--quiet",
]
begun = time.perf_counter()
result = dbtRunner().invoke(["build", "--full-refresh", *options])
seconds = time.perf_counter() - begun
if not result.success:
    faults = [each.message for each in result.result or [] if str(each.status) in ("error", "fail")]
    sys.exit(str(result.exception or faults))
print(json.dumps({"nodes": len(result.result.results), "seconds": seconds}))
