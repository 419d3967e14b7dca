#!/bin/bash
# The story's start script: the server in the foreground, no exec.
"$@"
echo "server ended with $?"
