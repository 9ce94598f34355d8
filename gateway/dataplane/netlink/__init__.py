"""Netlink without an event loop: one blocking socket, messages as plain bytes.

pyroute2's own sockets bring an event loop with them and decode every answer in
full. What a gateway asks often, or of thousands of objects, goes this way.

* `connection`: the socket.
* `rtnetlink`: requests about links, addresses, routes and rules.
"""
