"""For MLServer: a model that takes a second. `python slow_model.py FILE` writes the gRPC request for it."""

import asyncio
import sys
from pathlib import Path

from mlserver import MLModel
from mlserver.types import InferenceResponse


class Slow(MLModel):
    """Answers nothing, late."""

    async def predict(self, _payload) -> InferenceResponse:
        await asyncio.sleep(1)
        return InferenceResponse(model_name=self.name, outputs=[])


if __name__ == "__main__":
    from mlserver.grpc import dataplane_pb2

    Path(sys.argv[1]).write_bytes(dataplane_pb2.ModelInferRequest(model_name="slow").SerializeToString())
