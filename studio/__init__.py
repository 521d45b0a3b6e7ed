"""The studio: projects, images, labels and models in a browser, on the user's own machine.

A web application with one database (SQLite, or PostgreSQL by one URL) and one store of images (a folder, or S3). It
trains and exports by starting the trainer and the exporter as processes, and imports neither torch nor their code.
"""
