"""The fence as a table of nftables, written by netlink.

::

    postrouting -> outward   destination with device or SA in a pass set?   accept
                             destination in out4, out6?                     count, drop
    input       -> input     the same with the source, and in4, in6; but packets
                             around a tunnel come in first
    forward     -> forward   the same with the source, and nothing first

The sets ``out4``, ``in4``, ``out6`` and ``in6`` hold all addresses that belong to some
tunnel. The pass sets hold prefixes with the ways that their packets may take. Their
elements are the grants: each has a timeout, so an empty set means stop.

The table is changed in place and never made anew: between two chains of one hook a
packet could slip through while one goes and the other comes. Elements that stay are not
touched, for the same reason.
"""
