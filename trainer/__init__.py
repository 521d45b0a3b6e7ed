"""Labelled images -> run: data set, splits, features, training loop, statistics. Knows neither flask nor a database."""
