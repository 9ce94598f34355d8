"""XFRM (IPsec state and policy) netlink messages as pyroute2 classes.

pyroute2 has none; these are complete enough to be offered to it, and nothing in
this folder knows of gateways or epochs. Layouts follow include/uapi/linux/xfrm.h
of Linux 6.12; `tests/unit/dataplane/` holds them against bytes that iproute2 sent.

* `structs`: the C structures that the messages are made of.
* `attributes`: the XFRMA_ attributes.
* `messages`: the messages.
"""
