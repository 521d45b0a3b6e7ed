"""Projects: a set of images with its labels and models, of one owner or shared."""
