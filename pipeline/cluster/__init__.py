"""Ray: joined or started, kept quiet, watched over, and ended."""
