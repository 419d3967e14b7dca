"""Trains the model of the prediction service: which handwritten digit do 8 × 8 grey pixels show?

Law: the same pinned packages give the same bytes (seeds fixed, one thread, no time or machine name in the file), so the
committed model can be made again and compared. It is run by ``scripts/train``, never by a user of lameduck; the rows
that it did not learn from are written beside the tests, which hold the committed model to them.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import Any

from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MODEL = Path(__file__).parent / "service" / "digits.onnx"
HELD_OUT = Path(__file__).parents[3] / "tests" / "demo" / "data" / "held_out.json"
PIXELS = 64
HELD_OUT_ROWS = 200


def train() -> tuple[bytes, dict[str, Any]]:
    """The model as an ONNX file's bytes, and the held-out rows with their true digits and its accuracy on them."""
    digits = load_digits()
    pixels, held_out, labels, truth = train_test_split(
        digits.data, digits.target, test_size=HELD_OUT_ROWS, random_state=4, stratify=digits.target
    )
    # L-BFGS learns these 1,597 rows whole in a second, and has no shuffling whose order could change.
    network = MLPClassifier((32,), solver="lbfgs", alpha=1.0, max_iter=200, random_state=4)
    model = make_pipeline(StandardScaler(), network)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="lbfgs failed to converge")  # stopped early on purpose
        model.fit(pixels, labels)
    accuracy = float(model.score(held_out, truth))
    rows = {"accuracy": accuracy, "labels": truth.tolist(), "pixels": held_out.astype(int).tolist()}
    return _as_onnx(model), rows


def _as_onnx(model: Any) -> bytes:
    onnx = to_onnx(
        model,
        initial_types=[("pixels", FloatTensorType([None, PIXELS]))],
        options={"zipmap": False},  # probabilities as one tensor, not as a list of dictionaries
        target_opset={"": 18, "ai.onnx.ml": 3},
        name="digits",
    )
    _rename_output(onnx.graph, "label", "digit")
    onnx.producer_name, onnx.producer_version, onnx.doc_string = "lameduck", "", ""
    return bytes(onnx.SerializeToString(deterministic=True))


def _rename_output(graph: Any, old: str, new: str) -> None:
    for output in graph.output:
        if output.name == old:
            output.name = new
    for node in graph.node:
        node.output[:] = [new if name == old else name for name in node.output]
        node.input[:] = [new if name == old else name for name in node.input]


def main() -> int:
    """Write the two files, or with ``--check`` compare them."""
    parser = argparse.ArgumentParser(prog="scripts/train", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the committed files differ")
    arguments = parser.parse_args()
    onnx, rows = train()
    text = json.dumps(rows, separators=(",", ":")).replace("],[", "],\n[") + "\n"
    said = f"{len(onnx):,} bytes, {rows['accuracy']:.1%} right on {len(rows['labels'])} held-out rows"
    if arguments.check:
        same = MODEL.read_bytes() == onnx and HELD_OUT.read_text() == text
        sys.stdout.write(f"train: {said}; the committed files are {'the same' if same else 'NOT the same'}\n")
        return 0 if same else 1
    MODEL.write_bytes(onnx)
    HELD_OUT.write_text(text)
    sys.stdout.write(f"train: wrote {MODEL.name} ({said}) and {HELD_OUT.name}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
