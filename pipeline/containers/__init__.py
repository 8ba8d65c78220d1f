"""Files that hold many images (archives and tables): what is in them, and the bytes of each image."""
