"""`make bench`: Dovecote beside its peers, the same work on the same machine in one run.

Every measurement runs in a process of its own, a module of this package started by `bench.processes`; the main process
only starts, waits, counts and prints. All of them talk to one PostgreSQL and one HTTP peer, which are started here and
stopped at the end, whatever happens. What is compared runs in turns. Where systems are compared, the middle run of each
and the middle one of the turns' ratios stand; elsewhere the best of `--repeat` runs.
"""
