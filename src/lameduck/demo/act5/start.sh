#!/bin/bash
set -e
echo "prediction service: starting on port ${PORT:-8080}"
"${PYTHON:-python3}" -m lameduck.demo.service --chdir "$(dirname "$0")" lame_duck:application &
pid=$!
trap 'kill -TERM "$pid" 2>/dev/null' TERM INT
rc=0; wait "$pid" || rc=$?
# `wait` comes back as soon as the signal is forwarded, and the service is still draining: wait for it again.
while kill -0 "$pid" 2>/dev/null; do
  rc=0; wait "$pid" || rc=$?
done
exit "$rc"
