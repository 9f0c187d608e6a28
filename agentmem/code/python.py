"""What a Python file defines and imports, by tree-sitter: it reads any version, and files with errors too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Parser


@dataclass(frozen=True, slots=True)
class Definition:
    """A class, function or method; `name` is qualified within its file, lines are 1-based and inclusive."""

    name: str
    kind: str
    start: int
    end: int
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name: `import a.b` has no `name`; `from ..m import n` has module `..m` and name `n`.

    `bound` is the name it gets here; `from m import *` has name and bound `*`.
    """

    module: str
    name: str
    bound: str


def parse_python(data: bytes) -> tuple[list[Definition], list[Import]]:
    """Definitions and imports of a file, in the order of the text; function bodies are searched as well."""
    definitions: list[Definition] = []
    imports: list[Import] = []
    stack: list[tuple[Node, str, bool]] = [(_parser().parse(data).root_node, "", False)]
    while stack:
        node, scope, in_class = stack.pop()
        kind = node.type
        if kind in ("import_statement", "import_from_statement"):
            imports += _imports(node)
        elif kind in ("class_definition", "function_definition"):
            name = _text(node.child_by_field_name("name"))
            body = node.child_by_field_name("body")
            scope = f"{scope}.{name}" if scope else name
            outer = node.parent if node.parent and node.parent.type == "decorated_definition" else node
            is_class = kind == "class_definition"
            label = "class" if is_class else "method" if in_class else "function"
            lines = (outer.start_point[0] + 1, node.end_point[0] + 1)
            definitions.append(Definition(scope, label, *lines, _docstring(body)))
            if body is not None:
                stack += [(child, scope, is_class) for child in reversed(body.named_children)]
        elif kind in _HOLDERS:
            stack += [(child, scope, in_class) for child in reversed(node.named_children)]
    return definitions, imports


_HOLDERS = frozenset(
    [
        "module",
        "block",
        "decorated_definition",
        "if_statement",
        "elif_clause",
        "else_clause",
        "try_statement",
        "except_clause",
        "except_group_clause",
        "finally_clause",
        "with_statement",
        "for_statement",
        "while_statement",
        "match_statement",
        "case_clause",
        "ERROR",
    ]
)


@cache
def _parser() -> Parser:
    import tree_sitter_python
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_python.language()))


def _text(node: Node | None) -> str:
    return node.text.decode(errors="replace") if node is not None and node.text is not None else ""


def _docstring(body: Node | None) -> str:
    first = body.named_children[0] if body is not None and body.named_children else None
    if first is None or first.type != "expression_statement" or not first.named_children:
        return ""
    string = first.named_children[0]
    if string.type != "string":
        return ""
    content = next((child for child in string.named_children if child.type == "string_content"), None)
    return next((line.strip() for line in _text(content).splitlines() if line.strip()), "")


def _imports(node: Node) -> list[Import]:
    names = [_aliased(child) for child in node.children_by_field_name("name")]
    if node.type == "import_statement":
        return [Import(name, "", bound) for name, bound in names]
    module = _text(node.child_by_field_name("module_name")).replace(" ", "")
    if any(child.type == "wildcard_import" for child in node.named_children):
        return [Import(module, "*", "*")]
    return [Import(module, name, bound) for name, bound in names]


def _aliased(node: Node) -> tuple[str, str]:
    if node.type == "aliased_import":
        return _text(node.child_by_field_name("name")), _text(node.child_by_field_name("alias"))
    return _text(node), _text(node)
