"""Processes, sockets and signals: Gunicorn, and what its workers share. Knows nothing of models."""
