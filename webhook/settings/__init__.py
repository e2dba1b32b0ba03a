"""The administrator's choices: what they are (`model`), how they are read (`parse`), where they come from."""
