"""Labels of a project and which images have them: every change is an event, and every event can be undone."""
