"""Asks grpc_app over one warm channel and new ones, around a SIGTERM: `python grpc_client.py PORT PID`. Prints JSON."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import grpc

WATCHERS = 9
"""More than grpc_app's pool has threads."""
port, pid = sys.argv[1], int(sys.argv[2])


def channel():
    return grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])


def code(call):
    try:
        call()
    except grpc.RpcError as e:
        return e.code().name
    return "OK"


def health(on):
    return on.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=30).hex()


warm = channel()
fast = warm.unary_unary("/p/fast")
said = {"before": code(lambda: fast(b"x", timeout=30, wait_for_ready=True)), "health": [health(warm)]}
watch = warm.unary_stream("/grpc.health.v1.Health/Watch")
watches = [watch(b"", timeout=60) for _ in range(WATCHERS)]
said["watched"] = [[next(one).hex()] for one in watches]
slow = warm.unary_unary("/p/slow").future(b"x", timeout=30)
time.sleep(0.3)
os.kill(pid, signal.SIGTERM)
for one, heard in zip(watches, said["watched"], strict=True):
    heard.append(next(one).hex())
said["health"].append(health(warm))
said["warm"] = [code(lambda: fast(b"x", timeout=30)) for _ in range(5)]
with channel() as new:
    said["new"] = code(lambda: new.unary_unary("/p/fast")(b"x", timeout=30))
Path(os.environ["HELD"]).unlink()
said["slow"] = code(slow.result)
said["ended"] = [code(lambda one=one: list(one)) for one in watches]
warm.close()
sys.stdout.write(json.dumps(said))
