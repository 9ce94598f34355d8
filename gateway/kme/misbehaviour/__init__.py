"""Ways in which our KME can be told to fail or deviate, so that clients are tested.

A simulation of broken and peculiar KMEs; a KME never misbehaves unless it is told to,
over its own control socket, and says so in its log and status for as long as it does.
"""
