"""The stand-in for the fence on a kernel without nf_tables: policies that block.

Three for each prefix of a tunnel: from it inward, from it forwarded, to it outward.
They name no interface, so that they hold for packets on any; and they rank behind all
of ESP's own, which so decide first while they are there. A grant turns those that would
stop what the tunnel's devices carry into policies that allow.

docs/adr/0257 says what was measured, and what this does not do.
"""
