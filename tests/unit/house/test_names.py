"""Names of classes: each stands for one thing in the whole gateway."""

import ast
from collections import defaultdict
from pathlib import Path

GATEWAY = Path(__file__).parents[3] / "gateway"


def test_no_class_name_stands_twice() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted(GATEWAY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(GATEWAY)))
    assert len(places) > 500, "they are all looked at"
    assert {name: at for name, at in places.items() if len(at) > 1} == {}
