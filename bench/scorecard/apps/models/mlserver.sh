# sh mlserver.sh BIN http|grpc PORT: MLServer with its asked port at PORT, and the others beside it.
bin=$1 kind=$2 port=$3
export PATH="$bin:$PATH" MLSERVER_HOST=127.0.0.1 MLSERVER_METRICS_PORT=$((port % 10000 + 20000))
export MLSERVER_HTTP_PORT=$((port % 10000 + 10000)) MLSERVER_GRPC_PORT=$((port % 10000 + 10000))
if [ "$kind" = http ]; then MLSERVER_HTTP_PORT=$port; else MLSERVER_GRPC_PORT=$port; fi
export MLSERVER_PARALLEL_WORKERS=0 MLSERVER_HTTP_PORT MLSERVER_GRPC_PORT
cd "$(dirname "$0")" && exec mlserver start .
