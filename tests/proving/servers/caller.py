"""A small closed-loop client with a pace, as somebody's own tool would be; it writes what JMeter would write.

caller.py HOST PORT FILE RATE [SECONDS]: new connections, one request each, no repeats; until Ctrl-C or so many seconds.
"""

import csv
import http.client
import signal
import sys
import threading
import time

host, port, file, rate = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
end = time.monotonic() + (float(sys.argv[5]) if len(sys.argv) > 5 else 3600)
THREADS = 16
stop = threading.Event()
lock = threading.Lock()
out = open(file, "w", newline="", buffering=1)  # noqa: PTH123, SIM115 - open as long as the process lives
rows = csv.writer(out)
rows.writerow(["timeStamp", "elapsed", "responseCode", "responseMessage", "success", "bytes", "Latency", "Connect"])


def one():
    began, at = time.time(), time.monotonic()
    connection = http.client.HTTPConnection(host, port, timeout=2)
    code, message, connect = "", "", 1
    try:
        connection.connect()
        connection.request("GET", "/20")
        answer = connection.getresponse()
        answer.read()
        code, message = str(answer.status), answer.reason
    except TimeoutError:
        code, message = "Non HTTP response code: java.net.SocketTimeoutException", "Read timed out"
    except http.client.RemoteDisconnected:
        code, message = "Non HTTP response code: org.apache.http.NoHttpResponseException", "failed to respond"
    except (OSError, http.client.HTTPException) as error:
        code, message = f"Non HTTP response code: {type(error).__name__}", str(error)
    finally:
        connection.close()
    took = round((time.monotonic() - at) * 1000)
    with lock:
        rows.writerow([int(began * 1000), took, code, message, str(code == "200").lower(), 2, took, connect])


def thread(number):
    due = time.monotonic() + number / rate
    while not stop.is_set() and time.monotonic() < end:
        stop.wait(max(0.0, due - time.monotonic()))
        if stop.is_set():
            return
        one()
        due = max(due + THREADS / rate, time.monotonic() - 0.2)


signal.signal(signal.SIGINT, lambda *_: stop.set())
threads = [threading.Thread(target=thread, args=(number,)) for number in range(THREADS)]
for each in threads:
    each.start()
for each in threads:
    each.join()
out.close()
