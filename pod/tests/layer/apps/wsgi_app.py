"""GET /fast at once, /slow after a second (`held`); LAYER=off: no layer. `python wsgi_app.py SERVER PORT` serves it."""

import os
import sys
import time

HOST = os.environ.get("BIND", "127.0.0.1")
if __name__ == "__main__" and sys.argv[1].startswith("gevent"):
    from gevent import monkey

    monkey.patch_all()

import held  # noqa: E402  (gevent first)


def plain(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        held.block()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


app = plain
if os.environ.get("LAYER") != "off":
    from lameduck_pod.wsgi import LameDuck

    app = LameDuck(plain)

if "LOADING" in os.environ:
    os.write(2, b"loading\n")
    time.sleep(float(os.environ["LOADING"]))


def cheroot(port):
    from cheroot.wsgi import Server

    Server((HOST, port), app, numthreads=10).start()


def gevent(port):
    from gevent.pywsgi import WSGIServer

    WSGIServer((HOST, port), app, log=None).serve_forever()


def waitress(port):
    import waitress as server

    server.serve(app, listen=f"{HOST}:{port}", threads=8)


def werkzeug(port):
    from werkzeug.serving import run_simple

    run_simple(HOST, port, app, threaded=True)


if __name__ == "__main__":
    {f.__name__: f for f in (cheroot, gevent, waitress, werkzeug)}[sys.argv[1]](int(sys.argv[2]))
