"""A WSGI application: ``GET /500`` works for 500 ms."""

import time


def app(environ, start_response):
    words = environ["PATH_INFO"].strip("/")
    time.sleep(int(words) / 1000 if words.isdigit() else 0)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
