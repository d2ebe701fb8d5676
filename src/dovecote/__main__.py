"""`python -m dovecote`: the same program as `dovecote`."""

from dovecote.cli.main import run

if __name__ == "__main__":
    run()
