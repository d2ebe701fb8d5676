"""A strict Bot API server for tests, demonstrations and the suites of bot developers."""
