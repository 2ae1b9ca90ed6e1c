"""What `leakdrop check` looks at.

findings   what a look finds, and the machine that it looks at
machine    swap, core dumps, disks, clock, logs
site       permissions, keys, room
stored     the database, envelopes and their rows, times, what leaves when
tor        the onion service's configuration

Each look is a function that gives findings; what it cannot see it says. Nothing is changed.
"""
