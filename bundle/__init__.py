"""The contract between training and serving: what a `.onsight` bundle is, and how it is read, proven and refused.

Knows neither torch nor flask nor an inference runtime: a bundle can be verified on a machine that has none of them.
"""
