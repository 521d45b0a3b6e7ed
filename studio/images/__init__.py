"""Images of projects: their files, thumbnails, uploads, and the grid that shows them."""
