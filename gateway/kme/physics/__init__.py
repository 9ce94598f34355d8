"""A simulated QKD fibre that behaves like one: decoy-state BB84, block by block.

What comes out are counts and error rates, **not quantum keys**: the KME fills the
counts with bits of its own. The model is described in docs/simulated-link.md.
"""
