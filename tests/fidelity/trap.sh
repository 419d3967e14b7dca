#!/bin/bash
# A start script that forwards the stop signal and waits for the server until it is really gone, with its exit code.
"$@" &
server=$!
trap 'kill -TERM "$server"' TERM
wait "$server"
code=$?
while kill -0 "$server" 2>/dev/null; do
    wait "$server"
    code=$?
done
exit "$code"
