"""What the product promises of serving, each with the figure that shows it; `python -m benchmarks.promises` runs them.

One module a promise. Where a test shows it already, the module runs that test with the full count.
"""
