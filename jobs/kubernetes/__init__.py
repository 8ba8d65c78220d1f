"""What the pod of a schedule runs on Kubernetes."""
