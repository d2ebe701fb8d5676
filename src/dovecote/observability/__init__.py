"""What is seen from outside: logs, metrics, and the HTTP listener that shows them."""
