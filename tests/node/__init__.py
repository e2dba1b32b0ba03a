"""A real node: kubelet and containerd run the pods, and the tests read what arrives in their containers."""
