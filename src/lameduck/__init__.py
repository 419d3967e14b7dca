"""Proves that a Kubernetes rollout loses no request, or says which were lost, why, and the patch that mends it."""

__version__ = "0.1.0"
