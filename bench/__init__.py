"""`make bench`: Dovecote beside its peers, the same work on the same machine in one run.

Every measurement runs in a process of its own, a module of this package started by `bench.processes`; the main process
only starts, waits, counts and prints. All of them talk to one PostgreSQL and one HTTP peer, which are started here and
stopped at the end, whatever happens. The rule for noise is the same for all: what is compared runs in turns, and the
best of `--repeat` runs stands, because what else happens on a machine can only make a run slower.
"""
