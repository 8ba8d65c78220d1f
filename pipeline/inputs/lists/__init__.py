"""Lists of images: files, tables and streams that name images, and hold none."""
