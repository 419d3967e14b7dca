"""The model in memory, and the pace at which it works through a batch.

Law: a single prediction is never made to wait for a batch. A batch is scored in slices of `SLICE` rows with a pause
after each, so that it takes ``BATCH_ROWS_PER_SECOND`` (a setting; 128) as its pace: a batch of 128 rows takes about
one second of wall clock and a few milliseconds of CPU, spread over it. What fits into one slice has no pause at all.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime

from lameduck.demo.service.protocol import DATATYPES, Tensor, TensorSpec

MODEL_FILE: Final = Path(__file__).with_name("digits.onnx")
NAME: Final = "digits"
VERSION: Final = "1"
SLICE: Final = 16
"""Rows scored at once."""


@dataclass(frozen=True, slots=True)
class Model:
    """An ONNX Runtime session with one input and what it says of itself."""

    session: Any
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    rows_per_second: float

    def predict(self, rows: Tensor) -> dict[str, Tensor]:
        """Every output for all ``rows``, by name; more than `SLICE` rows come at the batch's pace."""
        started = time.monotonic()
        parts = []
        for first in range(0, len(rows), SLICE):
            parts.append(self.session.run(None, {self.input.name: rows[first : first + SLICE]}))
            if len(rows) > SLICE:
                due = started + min(first + SLICE, len(rows)) / self.rows_per_second
                time.sleep(max(0.0, due - time.monotonic()))
        return {
            spec.name: np.concatenate(part) for spec, part in zip(self.outputs, zip(*parts, strict=True), strict=True)
        }


def load(rows_per_second: float, path: Path = MODEL_FILE) -> Model:
    """The model of ``path``, warmed up by one prediction. One thread: a pod's CPU belongs to its requests."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # 16 rows need no arena, and three pods share a laptop
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    model = Model(session, _spec(source), tuple(map(_spec, session.get_outputs())), rows_per_second)
    model.predict(np.zeros((1, model.input.shape[1]), np.float32))
    return model


def _spec(node: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
    return TensorSpec(node.name, DATATYPES[node.type], shape)
