"""The fence as a table of nftables, written by netlink.

::

    postrouting -> outward   destination with device or SA in a pass set?   accept
                             destination in out4, out6?                     count, drop
    input       -> input     the same with the source, and in4, in6; but packets
                             around a tunnel come in first
    forward     -> forward   the same with the source, and nothing first

The sets ``out4``, ``in4``, ``out6`` and ``in6`` hold all addresses that belong to some
tunnel; each has a second name, ``out4-b``, and they take turns. The pass sets hold
prefixes with the ways that their packets may take. Their elements are the grants: each
has a timeout, so an empty set means stop.

Sets of ranges never change while rules use them: a look into one that changes may miss
what stays in it (docs/adr/0313). New ones are filled first; then the rules are swapped,
which no packet sees halfway. Chains stay: between two chains of one hook a packet could
slip through while one goes and the other comes. Grants that stay are not touched.
"""
