"""Dovecote inside of other programs: each an optional part, imported by name."""
