"""Smaller and faster forms of an exported model: made, measured on held-out images, certified or left out."""
