"""The OpenAPI document: what the views say of themselves, put together. Knows no view; `server/routes` describes."""
