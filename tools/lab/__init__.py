"""Two gateways in two network namespaces, for the demo, the benches and the tests.

Nothing here touches the machine's own network: every address lives inside a
namespace that was made here and is removed at the end.
"""
