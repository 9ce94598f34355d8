"""The names of the sets that a table's rules look into."""

from collections.abc import Iterable, Iterator

from gateway.dataplane.fence.nft import constants as c
from gateway.dataplane.fence.nft.attributes import read_attributes, read_text, walk


def sets_in_use(rules: Iterable[bytes]) -> frozenset[str]:
    """Return the sets that rules name, from a dump of the rules."""
    return frozenset(name for rule in rules for name in _lookups(rule))


def _lookups(rule: bytes) -> Iterator[str]:
    expressions = read_attributes(rule).get(c.NFTA_RULE_EXPRESSIONS, b"")
    for _, content in walk(expressions):
        parts = read_attributes(content)
        if read_text(parts.get(c.NFTA_EXPR_NAME, b"")) == "lookup":
            data = read_attributes(parts.get(c.NFTA_EXPR_DATA, b""))
            yield read_text(data.get(c.NFTA_LOOKUP_SET, b""))
