"""Other systems that deliver, each in an environment of its own, at the same work as `bench.delivery`.

A module NAME_run is a measured process and runs in its system's environment, which holds what locks/peers/NAME.txt
says: the system, its best driver, and what `bench.work` needs. So it imports those and the standard library alone.
"""
