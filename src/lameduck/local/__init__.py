"""The Cluster port over this machine: controller, kubelet and node table over real processes."""
