"""The fence: what keeps packets for a remote prefix out of every way but the tunnel's.

It stands below routing, in a table of the kernel's packet filter that is ours alone,
and holds for every configured tunnel, whether or not it can start. Passing is granted
for a time; without a grant, nothing passes in either direction. The table outlives the
daemon, so a gateway whose processes are all dead refuses.
"""
