"""The Cluster port over a real cluster."""
