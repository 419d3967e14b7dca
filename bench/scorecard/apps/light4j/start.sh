#!/bin/sh
# start.sh JAVA BUILD PORT [JVM OPTION]: light-4j reads its port from a file only.
mine="$2/config-$3" && mkdir -p "$mine" && cp "$(dirname "$0")"/config/*.yml "$mine" && sed -i "s/PORT/$3/" "$mine/server.yml"
case $2 in */2.*) echo "shutdownGracefulPeriod: 2000" >> "$mine/server.yml" ;; esac # as its own template; without it, 0
exec "$1" -Dlight-4j-config-dir="$mine" ${4:-} -cp "$2/app.jar:$2/lib/*" com.networknt.server.Server
