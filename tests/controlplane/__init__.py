"""A real kube-apiserver and etcd for the tests, and where their binaries come from."""
