"""What the integrations of bot frameworks have in common: none of this knows a framework.

Every framework comes down to the same: a call with parameters and files, a membership that has changed, a message
with a file. The packages beside this one only read those out of their framework's objects.
"""
