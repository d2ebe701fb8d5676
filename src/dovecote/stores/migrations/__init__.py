"""Migrations of the outbox's own tables, apart from the application's: they have a version table of their own."""
