"""The studio's HTTP calls, one module a subject, thin: read the request, call the subject's code, word the answer."""
