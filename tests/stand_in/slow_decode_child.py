"""A decode child that starts slowly, as from a slow network disk."""

import sys
import time

from pipeline.images.decode_child import serve

if __name__ == "__main__":
    time.sleep(3)
    serve(sys.stdin.buffer, sys.stdout.buffer)
