"""Partial evaluation of source text: branches that an architecture never takes are left out.

Works on the text of one definition and keeps everything else as it was written, comments
included. What is known comes as facts: test expressions and the value they always have.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache

Facts = Mapping[str, bool]
_ENDS = (ast.Return, ast.Raise)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@lru_cache(maxsize=256)
def normal(expression: str) -> str:
    """One spelling of an expression, whatever its quotes and line breaks."""
    return ast.unparse(ast.parse(expression, mode="eval").body)


def fold(
    text: str,
    facts: Facts,
    *,
    omitted_methods: Collection[str] = (),
    kept_methods: Collection[str] = (),
    absent: Collection[str] = (),
) -> str:
    """The definition without branches that the facts rule out, and without what they leave unused.

    `facts`: expressions in the spelling of `normal`. Methods named in `omitted_methods` are left
    out, and so are private methods, assignments of folded attributes and local values that
    nothing reads any longer, but for `kept_methods`. `absent` classes are left out of unions of types.
    """
    while True:
        tree = ast.parse(text)
        edited = _fold_once(text, tree, facts, absent)
        if edited is None:
            edited = _omit_once(text, tree, facts, omitted_methods, kept_methods)
        if edited is None:
            return text
        text = edited


def _known(test: ast.expr, facts: Facts) -> bool | None:
    """The value a test always has, or None."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _known(test.operand, facts)
        return None if inner is None else not inner
    if isinstance(test, ast.BoolOp):
        values = [_known(value, facts) for value in test.values]
        deciding = isinstance(test.op, ast.Or)
        if deciding in values:
            return deciding
        return None if None in values else not deciding
    return facts.get(ast.unparse(test))


def _fold_once(text: str, tree: ast.Module, facts: Facts, absent: Collection[str]) -> str | None:
    for block in _blocks(tree):
        for place, statement in enumerate(block):
            if isinstance(statement, ast.If):
                value = _known(statement.test, facts)
                if value is not None:
                    return _fold_if(text, block, place, statement, value)
    for node in ast.walk(tree):
        if isinstance(node, ast.IfExp):
            value = _known(node.test, facts)
            if value is not None:
                return _replaced(text, node, _segment(text, node.body if value else node.orelse))
        if isinstance(node, ast.BoolOp):
            value = _known(node, facts)
            if value is not None:
                return _replaced(text, node, str(value))
            unknown = [part for part in node.values if _known(part, facts) is None]
            if len(unknown) < len(node.values):
                word = " or " if isinstance(node.op, ast.Or) else " and "
                return _replaced(text, node, word.join(_operand(text, part) for part in unknown))
        if isinstance(node, ast.BinOp) and isinstance(node.right, ast.Name) and node.right.id in absent:
            return _replaced(text, node, _segment(text, node.left))
    return None


def _operand(text: str, part: ast.expr) -> str:
    segment = _segment(text, part)
    return f"({segment})" if isinstance(part, ast.BoolOp | ast.IfExp) else segment


def _fold_if(text: str, block: list[ast.stmt], place: int, node: ast.If, value: bool) -> str:
    lines = text.splitlines()
    chosen = node.body if value else node.orelse
    begin, end = node.lineno - 1, _end(node)
    if lines[begin].lstrip().startswith("elif"):
        if value:
            indent = " " * node.col_offset
            return _spliced(
                lines, begin, end, [f"{indent}else:", *lines[node.body[0].lineno - 1 : _end(node.body[-1])]]
            )
        # What follows the branch, another elif or an else, now follows the branch before it.
        return _spliced(lines, begin, _end(node.body[-1]), [])
    if not chosen:
        begin = _with_comments(lines, begin)
        return _spliced(lines, begin, end, ["pass"] if len(block) == 1 else [], node.col_offset)
    first = chosen[0].lineno - 1
    if lines[first].lstrip().startswith("elif") and not value:
        kept = lines[first : _end(chosen[-1])]
        kept[0] = kept[0].replace("elif", "if", 1)
    else:
        depth = chosen[0].col_offset - node.col_offset
        kept = [line[depth:] for line in lines[_with_comments(lines, first) : _end(chosen[-1])]]
        if isinstance(chosen[-1], _ENDS):
            end = _end(block[-1])  # the rest cannot be reached
    return _spliced(lines, begin, end, kept)


def _omit_once(
    text: str,
    tree: ast.Module,
    facts: Facts,
    omitted_methods: Collection[str],
    kept_methods: Collection[str],
) -> str | None:
    read = _read_names(tree, ast.Attribute)
    folded = {fact.split()[0].removeprefix("self.") for fact in facts if fact.startswith("self.")}
    for owner in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for place, node in enumerate(owner.body):
            if not isinstance(node, _FUNCTIONS):
                continue
            private = node.name.startswith("_") and not node.name.endswith("__")
            unread = private and node.name not in read and node.name not in kept_methods
            if node.name in omitted_methods or unread:
                # The gap before a method goes with it: section comments belong to what follows them.
                return _spliced(text.splitlines(), _end(owner.body[place - 1]), _end(node), [])
    for function in (node for node in ast.walk(tree) if isinstance(node, _FUNCTIONS)):
        names = _read_names(function, ast.Name)
        for block in _blocks(function):
            for statement in block:
                lines = text.splitlines()
                if (shorter := _without_unread(text, statement, names)) is not None:
                    return _spliced(
                        lines, statement.lineno - 1, _end(statement), [shorter], statement.col_offset
                    )
                if len(block) > 1 and _is_unused(statement, names, folded - read):
                    return _spliced(lines, _with_comments(lines, statement.lineno - 1), _end(statement), [])
    return None


def _is_unused(statement: ast.stmt, names: set[str], attributes: set[str]) -> bool:
    """Whether a statement only makes a value that nothing reads."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return name not in names and _is_pure(value)
        case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)]):
            return name in attributes
    return False


def _without_unread(text: str, statement: ast.stmt, names: set[str]) -> str | None:
    """`a, b, c = x, y, z` without the pairs that nothing reads; None where nothing changes."""
    match statement:
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
            pairs = list(zip(targets, values, strict=True))
            kept = [
                (target, value)
                for target, value in pairs
                if not isinstance(target, ast.Name) or target.id in names or not _is_pure(value)
            ]
            if 0 < len(kept) < len(pairs):
                return " = ".join(
                    ", ".join(_segment(text, part) for part in side) for side in zip(*kept, strict=True)
                )
    return None


def _is_pure(value: ast.expr) -> bool:
    """Whether leaving a value out changes nothing: it calls nothing but torch's own functions."""
    calls = (ast.unparse(part.func) for part in ast.walk(value) if isinstance(part, ast.Call))
    return all(call.startswith("torch.") for call in calls)


def _read_names(tree: ast.AST, kind: type[ast.Attribute] | type[ast.Name]) -> set[str]:
    """Names of all attributes, or of all variables, whose value is used somewhere."""
    found = (node for node in ast.walk(tree) if isinstance(node, kind) and isinstance(node.ctx, ast.Load))
    return {node.attr if isinstance(node, ast.Attribute) else node.id for node in found}


def _blocks(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                yield block


def _end(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno


def _with_comments(lines: list[str], line: int) -> int:
    """The line where the comments right above a line begin."""
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
    return line


def _spliced(lines: list[str], begin: int, end: int, new: list[str], indent: int = 0) -> str:
    return "\n".join([*lines[:begin], *(" " * indent + line for line in new), *lines[end:]])


def _segment(text: str, node: ast.expr) -> str:
    segment = ast.get_source_segment(text, node)
    assert segment is not None
    return segment


def _replaced(text: str, node: ast.expr, new: str) -> str:
    """The text with an expression's own text replaced."""
    lines = text.splitlines()
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    # The tree counts columns in bytes.
    before = lines[node.lineno - 1].encode()[: node.col_offset].decode()
    after = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode()
    return _spliced(lines, node.lineno - 1, node.end_lineno, (before + new + after).split("\n"))
