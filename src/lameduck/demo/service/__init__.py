"""A prediction service: a small ONNX model behind the Open Inference Protocol v2, served by gunicorn.

``python -m lameduck.demo.service`` runs it on ``$PORT``; further arguments are gunicorn's own.
"""
