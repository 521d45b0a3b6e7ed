"""What runs a verified graph: one seam (`protocol`), and the runtimes behind it."""
