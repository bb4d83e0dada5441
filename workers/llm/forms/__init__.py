"""Answers that have to be of a form: JSON of a schema, a call of a tool."""
