"""Adapters for the database: one folder, the same methods for SQLite and PostgreSQL."""
