"""The Open Inference Protocol v2 over HTTP, the tensor part: which request is a prediction, and what its answer holds.

Law: nothing reaches the model but a finite FP32 tensor of the model's own shape within the limits; whatever else comes
in is refused by a sentence that names the field and what was expected there. Sizes are rows (one row, one prediction).
Source: KServe, "Open Inference Protocol", inference request and response JSON objects.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

Tensor: TypeAlias = npt.NDArray[Any]

MAX_BODY: Final = 1 << 20
"""Bytes of a request's body."""
MAX_ROWS: Final = 1024

DATATYPES: Final = {"tensor(float)": "FP32", "tensor(int64)": "INT64"}
"""ONNX Runtime's name of an element type → the protocol's."""


class BadRequestError(ValueError):
    """The request cannot be served as it stands; the text says which field, and what was expected."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, datatype and shape of a tensor; −1 is a dimension of any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def metadata(self) -> dict[str, Any]:
        """As the protocol's model metadata has it."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A prediction to make: float32 rows, the client's id for it ("" if none), the outputs wanted (empty: all)."""

    rows: Tensor
    id: str = ""
    outputs: tuple[str, ...] = ()


def parse(body: bytes, spec: TensorSpec, outputs: Sequence[str]) -> InferRequest:
    """The request in ``body`` for a model with one input ``spec`` and these outputs. Raises `BadRequestError`."""
    try:
        document = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadRequestError("the body must be a JSON object with 'inputs'")
    identity = document.get("id", "")
    if not isinstance(identity, str):
        raise BadRequestError("'id' must be a string")
    return InferRequest(_rows(_only_input(document, spec), spec), identity, _wanted(document, outputs))


def answer(
    model: str, version: str, request: InferRequest, results: Mapping[str, Tensor], specs: Sequence[TensorSpec]
) -> dict[str, Any]:
    """The inference response object: the outputs asked for, in the model's order, data flattened row by row."""
    tensors = [
        {
            "name": spec.name,
            "datatype": spec.datatype,
            "shape": list(results[spec.name].shape),
            "data": results[spec.name].ravel().tolist(),
        }
        for spec in specs
        if not request.outputs or spec.name in request.outputs
    ]
    head = {"model_name": model, "model_version": version}
    return head | ({"id": request.id} if request.id else {}) | {"outputs": tensors}


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")


def _only_input(document: Mapping[str, Any], spec: TensorSpec) -> Mapping[str, Any]:
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise BadRequestError(f"'inputs' must be a list of one tensor, named '{spec.name}'")
    tensor: dict[str, Any] = inputs[0]
    missing = [key for key in ("name", "shape", "datatype", "data") if key not in tensor]
    if missing:
        raise BadRequestError(f"inputs[0] has no '{missing[0]}'")
    if tensor["name"] != spec.name:
        raise BadRequestError(f"inputs[0].name must be '{spec.name}', not {_shown(tensor['name'])}")
    if tensor["datatype"] != spec.datatype:
        raise BadRequestError(f"inputs[0].datatype must be '{spec.datatype}', not {_shown(tensor['datatype'])}")
    return tensor


def _rows(tensor: Mapping[str, Any], spec: TensorSpec) -> Tensor:
    shape, width = tensor["shape"], spec.shape[1]
    if not isinstance(shape, list) or len(shape) != 2 or any(type(size) is not int for size in shape):
        raise BadRequestError(f"inputs[0].shape must be two whole numbers: [rows, {width}]")
    if shape[1] != width or not 1 <= shape[0] <= MAX_ROWS:
        raise BadRequestError(f"inputs[0].shape must be [rows, {width}] with 1 to {MAX_ROWS} rows, not {_shown(shape)}")
    try:
        given = np.asarray(tensor["data"])
    except ValueError as error:
        raise BadRequestError("inputs[0].data is ragged: every row must be equally long") from error
    if given.dtype.kind not in "iuf" or given.ndim not in {1, 2}:
        raise BadRequestError("inputs[0].data must be numbers: one flat list, or one list for each row")
    if given.size != shape[0] * width or (given.ndim == 2 and given.shape != tuple(shape)):
        raise BadRequestError(f"inputs[0].data has shape {list(given.shape)}, but inputs[0].shape says {shape}")
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused on the next line
        rows: Tensor = given.astype(np.float32).reshape(shape)
    if not np.isfinite(rows).all():
        raise BadRequestError("inputs[0].data has a number that FP32 cannot hold")
    return rows


def _wanted(document: Mapping[str, Any], outputs: Sequence[str]) -> tuple[str, ...]:
    wanted = document.get("outputs", [])
    if not isinstance(wanted, list) or not all(isinstance(tensor, dict) and "name" in tensor for tensor in wanted):
        raise BadRequestError("'outputs' must be a list of objects with a 'name'")
    for tensor in wanted:
        if tensor["name"] not in outputs:
            raise BadRequestError(f"there is no output {_shown(tensor['name'])}; there are {', '.join(outputs)}")
    return tuple(tensor["name"] for tensor in wanted)


def _shown(value: object) -> str:
    """A value of the client's, as JSON, cut to a length that does no harm in a log."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
