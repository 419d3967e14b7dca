#!/bin/bash
# A trap that waits for the foreground command, as bash's traps do.
trap 'kill -TERM $(jobs -p)' TERM
"$@"
