"""Where the lease of the leader is kept outside of the database. As a row it is in `dovecote.stores.lease`."""
