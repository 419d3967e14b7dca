#!/bin/bash
# The usual advice: trap, forward, wait once. PID 1 leaves before its child.
trap 'kill -TERM "$pid"' TERM
"$@" &
pid=$!
wait "$pid"
