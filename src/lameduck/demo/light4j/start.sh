#!/bin/bash
set -e
echo "prediction service: starting"
java -cp "/srv/app.jar:/srv/lib/*" com.networknt.server.Server
