"""What a pod of a schedule runs on Kubernetes."""
