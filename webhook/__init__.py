"""A Kubernetes admission webhook that makes the model arrive in the pod."""
