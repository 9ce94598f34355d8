"""Acceptance of a configuration: what it says, and what the files that it names hold.

The same checks serve ``qgw config check``, a reload and the start of `qgwd`; they find
everything at once. What becomes of a problem (docs/adr/0225):

================  ==============  ====================  ===============================
a problem of      check           reload                start
================  ==============  ====================  ===============================
the gateway       refused         refused               refused, exit code 78
one link          refused         refused               that link gives no keys
one tunnel        refused         refused               that tunnel alone stays blocked
================  ==============  ====================  ===============================

A reload is not refused for what was wrong before it in the same way: mending one
tunnel must not wait for another one.
"""
