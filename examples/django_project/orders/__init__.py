"""Orders, and what customers are told of them."""
