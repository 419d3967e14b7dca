"""What docs/layer.md shows, for each framework: GET /fast at once, /slow after a second (`held`)."""

import os

import held

WHICH = os.environ["FRAMEWORK"]


def fastapi():
    from fastapi import FastAPI

    from lameduck_pod.asgi import LameDuck

    app = FastAPI()

    @app.get("/{what}")
    async def answer(what: str):
        if what == "slow":
            await held.wait()
        return "ok"

    return LameDuck(app)


def litestar():
    from litestar import Litestar, get

    from lameduck_pod.asgi import LameDuck

    @get("/{what:str}")
    async def answer(what: str) -> str:
        if what == "slow":
            await held.wait()
        return "ok"

    app = Litestar([answer])
    return LameDuck(app)


def flask():
    from flask import Flask

    from lameduck_pod.wsgi import LameDuck

    app = Flask(__name__)

    @app.get("/<what>")
    def answer(what):
        if what == "slow":
            held.block()
        return "ok"

    app.wsgi_app = LameDuck(app.wsgi_app)
    return app


def django():
    import django.http
    from django.conf import settings
    from django.urls import path

    def answer(request, what):
        if what == "slow":
            held.block()
        return django.http.HttpResponse("ok")

    settings.configure(ROOT_URLCONF=(path("<what>", answer),), ALLOWED_HOSTS=["*"], SECRET_KEY="of a test")


def django_wsgi():
    django()
    from django.core.wsgi import get_wsgi_application

    from lameduck_pod.wsgi import LameDuck

    return LameDuck(get_wsgi_application())


def django_asgi():
    django()
    from django.core.asgi import get_asgi_application

    from lameduck_pod.asgi import LameDuck

    return LameDuck(get_asgi_application())


app = globals()[WHICH]()
