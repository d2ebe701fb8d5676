"""What Django remembers of the model; there is nothing to do in the database."""
