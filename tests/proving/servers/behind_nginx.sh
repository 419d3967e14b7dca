#!/usr/bin/env bash
# behind_nginx.sh ADDRESS LOG FOLDER CALLER...: a real nginx in front of ADDRESS that logs to LOG, and the caller in front
# of that, with nginx's HOST and PORT as its first arguments; ends both at Ctrl-C.
set -eu
address=$1 log=$2 folder=$3
shift 3
mkdir -p "$folder"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > "$folder/nginx.conf" <<CONF
daemon off;
worker_processes 1;
pid $folder/nginx.pid;
error_log $folder/error.log;
events { worker_connections 512; }
http {
  log_format timed '\$remote_addr - \$remote_user [\$time_local] "\$request" \$status \$body_bytes_sent '
                   '"\$http_referer" "\$http_user_agent" \$request_time \$upstream_addr';
  access_log $log timed;
  client_body_temp_path $folder; proxy_temp_path $folder; fastcgi_temp_path $folder;
  uwsgi_temp_path $folder; scgi_temp_path $folder;
  server { listen 127.0.0.1:$port; location / { proxy_pass http://$address; proxy_next_upstream off; } }
}
CONF
nginx -c "$folder/nginx.conf" -p "$folder" &
nginx=$!
trap 'kill -QUIT $nginx; wait' INT TERM
for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.05; done
"$@" 127.0.0.1 "$port" "$folder/caller.jtl" 120 &
wait || true
wait || true
