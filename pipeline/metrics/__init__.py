"""What a run has done and how long it took: counted by workers, shown to Prometheus, reported at its end."""
