"""Dovecote delivers notifications for Telegram bots, from the application's own transaction."""
