"""The addresses of the server: each module turns requests into calls of the registry, and answers into JSON."""
