"""Adapters for the wire: how a notification leaves."""
