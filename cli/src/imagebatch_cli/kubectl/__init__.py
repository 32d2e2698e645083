"""`kubectl imagebatch`: the verbs by a kubeconfig, without the REST API, in the words of `imagebatch`."""
