#!/bin/bash
set -e
echo "prediction service: starting"
java -cp "/srv/app.jar:/srv/lib/*" com.networknt.server.Server &
pid=$!
trap 'kill -TERM "$pid" 2>/dev/null' TERM
rc=0; wait "$pid" || rc=$?
# `wait` comes back as soon as the signal is forwarded, and the service is still draining: wait for it again.
while kill -0 "$pid" 2>/dev/null; do
  rc=0; wait "$pid" || rc=$?
done
exit "$rc"
