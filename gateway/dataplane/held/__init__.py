"""Desired state: what each tunnel wants in the kernel's routing, held there.

Planes declare links, addresses and routes; the keeper makes them so, remembers them,
compares them with what is there, and puts back what somebody else took away.
"""
