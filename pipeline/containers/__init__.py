"""Files that hold many images: archives and tables. What is in them, and the bytes of one of them."""
