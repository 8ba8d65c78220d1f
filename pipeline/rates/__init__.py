"""How fast images are labelled here, and what that comes to for a whole input."""
