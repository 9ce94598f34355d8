"""Words for what a reload changed, in the answer to its operator."""

from collections.abc import Mapping

from gateway.acceptance.contents import Content, Key, describe_content
from gateway.config.diff import IDENTITY, ConfigDiff

Contents = Mapping[Key, Content]


def describe_changes(diff: ConfigDiff, old: Contents, new: Contents) -> dict[str, str]:
    """Say by name of a tunnel or link, or by key of the gateway, what changed.

    Args:
        diff: The difference.
        old: What files held.
        new: What they hold.
    """
    details: dict[str, str] = {}
    for (kind, name), keys in diff.keys.items():
        said = ", ".join(_describe((kind, name, key), old, new) for key in keys)
        # A tunnel and a link may have one name.
        details[name] = f"{details[name]}, {said}" if name in details else said
    for dotted in diff.restart:
        key = tuple(dotted.split("."))
        if shown := describe_content(old.get(key), new.get(key)):
            details[dotted] = shown
    return details


def _describe(key: Key, old: Contents, new: Contents) -> str:
    place = IDENTITY if key[-1] == IDENTITY[-1] else key
    shown = describe_content(old.get(place), new.get(place))
    return f"{key[-1]} {shown}" if shown else key[-1]
