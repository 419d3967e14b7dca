#!/bin/bash
# A start script as they are written: it prepares, then starts the server as its child, without exec and without a trap.
set -e
cd /light4j
echo "configuration: $(ls config | tr '\n' ' ')"
java -Xmx256m -Dlight-4j-config-dir=config -Dlogback.configurationFile=config/logback.xml \
  -cp 'app.jar:lib/*' com.networknt.server.Server
