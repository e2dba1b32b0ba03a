"""A real kube-apiserver and etcd for the tests, and how to obtain their binaries."""
