"""No file above 400 lines and no function above 40, but for what `size_ratchet.json` lists; that list only shrinks."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "scripts" / "size_ratchet.json"
FILE_LIMIT, FUNCTION_LIMIT = 400, 40


def sizes() -> dict[str, int]:
    found: dict[str, int] = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        text = path.read_text("utf-8")
        lines = text.count("\n")
        if lines > FILE_LIMIT:
            found[name] = lines
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LIMIT:
                    found[f"{name}:{node.name}"] = length
    return found


def main() -> int:
    allowed: dict[str, int] = json.loads(LIST.read_text("utf-8"))
    found = sizes()
    grown = {name: size for name, size in found.items() if size > allowed.get(name, 0)}
    for name, size in grown.items():
        print(f"too long: {name} has {size} lines, allowed {allowed.get(name, 'none')}")
    shrunk = {name for name, size in allowed.items() if found.get(name, 0) < size}
    for name in shrunk:
        print(f"shrunk: {name}; lower it in {LIST.name} to {found.get(name, 'nothing')}")
    return 1 if grown or shrunk else 0


if __name__ == "__main__":
    sys.exit(main())
