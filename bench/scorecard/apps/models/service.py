"""For BentoML: a service whose only API takes a second."""

import asyncio

import bentoml


@bentoml.service
class Service:
    @bentoml.api
    async def slow(self) -> str:
        await asyncio.sleep(1)
        return "ok"
