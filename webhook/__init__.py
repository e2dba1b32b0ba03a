"""A Kubernetes mutating admission webhook that delivers ML models to pods."""
