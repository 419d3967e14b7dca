#!/bin/bash
# Forwards, and waits until the server has really ended.
trap 'kill -TERM "$pid" 2>/dev/null' TERM
"$@" &
pid=$!
code=0
wait "$pid" || code=$?
while kill -0 "$pid" 2>/dev/null; do
    wait "$pid" || code=$?
done
exit "$code"
