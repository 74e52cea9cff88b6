"""Every small change of a source file: operators, comparisons, conditions, constants, arguments, statements.

A mutant is an edit of the file's syntax tree: no text is written anywhere.  Not changed, since no test should have to
notice: annotations, docstrings, prose (a string with a space in it), the storage that a result is written to (`out=`),
the order of arguments that commute, and caches.
"""

import ast
import copy
import hashlib
from collections import Counter
from typing import NamedTuple

OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.MatMult: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitAnd, ast.And: ast.Or, ast.Or: ast.And,
}
COMPARISONS = {
    ast.Lt: [ast.LtE, ast.GtE], ast.LtE: [ast.Lt, ast.Gt], ast.Gt: [ast.GtE, ast.LtE], ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq], ast.NotEq: [ast.Eq], ast.Is: [ast.IsNot], ast.IsNot: [ast.Is], ast.In: [ast.NotIn], ast.NotIn: [ast.In],
}
ERRORS = {"TypeError": "ValueError", "ValueError": "TypeError", "KeyError": "TypeError", "RuntimeError": "ValueError"}
COMMUTE = {"add", "multiply", "maximum", "minimum", "min", "max", "logical_and", "logical_or", "two_sum", "two_product",
           "total", "isinstance"}  # the last does not commute: its arguments exchanged are a TypeError, always
CACHES = {"cache", "lru_cache", "functools.cache", "functools.lru_cache"}
# What only a type checker reads.
TYPING = {"cast", "typing.cast", "TypeVar", "NewType", "ParamSpec"}
UNSEEN = {"annotation", "returns", "type_params", "type_comment", "ctx", "kind", "cause", "keywords", "names", "bases"}
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Edit(NamedTuple):
    """Put `new` where `field` of `node`, or its element `index`, was."""

    node: ast.AST
    field: str
    index: int | None
    new: object

    def swap(self):
        """Make the edit, and return the one that takes it back."""
        value = getattr(self.node, self.field)
        if self.index is None:
            setattr(self.node, self.field, self.new)
            return self._replace(new=value)
        old, value[self.index] = value[self.index], self.new
        return self._replace(new=old)


class Mutant(NamedTuple):
    """A change of one statement."""

    file: str
    function: str   # the qualified name of the function or class around it; "" at the module's level
    change: str     # the statement before -> after
    name: str       # a digest of file, function, change, and which of equal ones it is
    key: str        # the same of the code of the whole function as well: what the result is stored under
    line: int
    last: int       # the statement's lines, or those of its header
    scopes: tuple   # (first, last) lines of the functions and classes that it heads or stands in, innermost first
    edit: Edit


class Source:
    """A file's tree, and its mutants, which are edits of that tree."""

    def __init__(self, file, text):
        self.file, self.tree = file, ast.parse(text)
        self.mutants, self._seen = [], Counter()
        self._block(self.tree, "body", "", "", ())

    def compiled(self, mutant, path):
        """The code of the mutated module."""
        back = mutant.edit.swap()
        try:
            return compile(ast.fix_missing_locations(self.tree), path, "exec")
        finally:
            back.swap()

    def _block(self, parent, field, function, code, scopes):
        for k, statement in enumerate(getattr(parent, field)):
            if isinstance(statement, ast.expr | ast.Import | ast.ImportFrom) or _for_the_type_checker(statement):
                continue
            inner, inner_code, inner_scopes = function, code or digest(statement), scopes
            if isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
                inner = f"{function}.{statement.name}" if function else statement.name
                inner_scopes = ((statement.lineno, statement.end_lineno), *scopes)
                inner_code = "" if isinstance(statement, ast.ClassDef) and not code else inner_code
            before = text(statement)
            for edit in (*_of_statement(Edit(parent, field, k, None), statement), *_of_parts(statement)):
                back = edit.swap()
                after = text(getattr(parent, field)[k])
                back.swap()
                change = f"{before} -> {after}" if len(before) < 100 else _elided(before, after)
                if before == after:
                    continue
                self._seen[inner, change] += 1
                name = digest(self.file, inner, change, self._seen[inner, change])
                key = digest(self.file, inner, inner_code or digest(statement), change, self._seen[inner, change])
                last = statement.end_lineno if not hasattr(statement, "body") else max(
                    [statement.lineno, *(node.end_lineno for node in _header(statement))])
                self.mutants.append(Mutant(self.file, inner, change, name, key, statement.lineno, last, inner_scopes, edit))
            for block in BLOCKS:
                if getattr(statement, block, None):
                    self._block(statement, block, inner, inner_code, inner_scopes)


def digest(*parts):
    """Of texts, or of a statement without docstrings and annotations."""
    if isinstance(parts[0], ast.AST):
        parts = [text(node) for node in ast.walk(parts[0]) if isinstance(node, ast.stmt) and not _is_remark(node)]
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:24]


def text(statement):
    """A statement in one line; of a compound one the header.  Without annotations, which no test reads."""
    if isinstance(statement, ast.AnnAssign) and statement.value:
        statement = ast.Assign([statement.target], statement.value, lineno=0)
    if any(getattr(statement, block, None) for block in BLOCKS):
        statement = copy.copy(statement)
        for block in BLOCKS:
            if hasattr(statement, block):
                setattr(statement, block, [])
    if isinstance(statement, FUNCTIONS):
        statement.returns, statement.args = None, copy.deepcopy(statement.args)
        for node in ast.walk(statement.args):
            if isinstance(node, ast.arg):
                node.annotation = None
    return " ".join(ast.unparse(statement).split())


def _elided(before, after):
    """The part of a long statement that differs, and some words around it."""
    start = next((k for k, (a, b) in enumerate(zip(before, after)) if a != b), min(len(before), len(after)))
    room = min(len(before), len(after)) - start
    end = next((k for k in range(room) if before[-1 - k] != after[-1 - k]), room)
    start, end = max(start - 40, 0), max(end - 30, 0)
    dots = "..." if start else "", "..." if end else ""
    return " -> ".join(dots[0] + part[start:len(part) - end] + dots[1] for part in (before, after))


def _for_the_type_checker(statement):
    """An import, an overload, or the name of a type."""
    if isinstance(statement, ast.If):
        return ast.unparse(statement.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
    if isinstance(statement, FUNCTIONS):
        return any(ast.unparse(decorator) in ("overload", "typing.overload") for decorator in statement.decorator_list)
    if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
        return ast.unparse(statement.value.func) in TYPING
    return isinstance(statement, ast.AnnAssign) and ast.unparse(statement.annotation).endswith("TypeAlias")


def _header(statement):
    """The expressions of a compound statement that are not in its blocks."""
    for field, value in ast.iter_fields(statement):
        if field not in BLOCKS:
            for node in value if isinstance(value, list) else [value]:
                if isinstance(node, ast.AST):
                    yield from (part for part in ast.walk(node) if hasattr(part, "end_lineno"))


def _of_statement(here, statement):
    """Leave it out, or exchange it."""
    match statement:
        case ast.Expr(value=ast.Constant()) | ast.Pass() | ast.Import() | ast.ImportFrom():
            return
        case ast.Expr() | ast.AugAssign() | ast.Raise() | ast.Delete():
            yield here._replace(new=ast.Pass())
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield here._replace(new=ast.Pass())
        case ast.Continue():
            yield here._replace(new=ast.Break())
        case ast.Break():
            yield here._replace(new=ast.Continue())
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield here._replace(new=ast.Return(ast.Constant(None)))
            if isinstance(value, ast.Tuple):
                for k in range(len(value.elts) - 1):
                    yield Edit(statement, "value", None, ast.Tuple(_exchanged(value.elts, k), ast.Load()))
        case ast.With():
            yield here._replace(new=ast.If(ast.Constant(True), statement.body, []))
        case ast.Try(handlers=handlers):
            for handler in handlers:
                yield Edit(handler, "body", None, [ast.Raise()])
    for k, decorator in enumerate(getattr(statement, "decorator_list", ())):
        if ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator) not in CACHES:
            kept = statement.decorator_list[:k] + statement.decorator_list[k + 1:]
            yield Edit(statement, "decorator_list", None, kept)


def _of_parts(statement):
    """The edits of the expressions of a statement, its blocks left out."""
    raising = isinstance(statement, ast.Raise | ast.ExceptHandler)
    if _is_remark(statement):
        return
    for field, value in ast.iter_fields(statement):
        if field not in (*BLOCKS, *UNSEEN, "targets", "target", "decorator_list"):
            yield from _of_field(statement, field, value, raising)
        elif field in ("targets", "target"):  # the subscripts of what is assigned to
            yield from (edit for edit in _of_field(statement, field, value, raising) if edit.node is not statement)


def _of_field(node, field, value, raising):
    for k, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
        if not isinstance(child, ast.AST):
            continue
        for new in _changes(child, node, raising):
            yield Edit(node, field, k, new)
        if field == "test" or field == "ifs":
            yield from _of_condition(node, field, k, child)
        if isinstance(child, ast.keyword) and child.arg != "out":
            yield Edit(node, field, None, value[:k] + value[k + 1:])
        match child:
            case ast.Call(func=function) if ast.unparse(function) in TYPING:
                continue
            case ast.JoinedStr(values=parts) if len(parts) > 1:  # a message must name what it is about
                for i, part in enumerate(parts):
                    if isinstance(part, ast.FormattedValue):
                        yield Edit(child, "values", None, parts[:i] + parts[i + 1:])
                continue
        for inner, below in ast.iter_fields(child):
            if inner not in UNSEEN or inner == "keywords":
                yield from _of_field(child, inner, below, raising)


def _of_condition(node, field, k, test):
    if not isinstance(test, ast.Compare | ast.UnaryOp) or isinstance(test, ast.Compare) and len(test.ops) > 1:
        yield Edit(node, field, k, ast.UnaryOp(ast.Not(), test))
    if field == "ifs":
        yield Edit(node, field, k, ast.Constant(True))


def _changes(node, parent, raising):
    """What can stand in the place of an expression."""
    match node:
        case ast.BinOp(left, op, right):
            if not (isinstance(op, ast.Add | ast.Mod) and {type(left), type(right)} & {ast.JoinedStr} or _is_text(left)):
                yield ast.BinOp(left, OPERATORS[type(op)](), right)
                yield left
                yield right
        case ast.BoolOp(op, values):
            yield ast.BoolOp(OPERATORS[type(op)](), values)
            for k in range(len(values)):
                rest = values[:k] + values[k + 1:]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(op, rest)
        case ast.UnaryOp(operand=operand):
            yield operand
        case ast.Compare(left, ops, comparators):
            for k, op in enumerate(ops):
                for other in COMPARISONS[type(op)]:
                    yield ast.Compare(left, [*ops[:k], other(), *ops[k + 1:]], comparators)
        case ast.IfExp(body=body, orelse=orelse):
            yield body
            yield orelse
        case ast.Constant(value):
            yield from _constants(value, parent, raising)
        case ast.Name(name) if raising and name in ERRORS:
            yield ast.Name(ERRORS[name], ast.Load())
        case ast.Call(function, arguments, keywords) if ast.unparse(function) not in TYPING:
            if not raising and len(arguments) == 1 and not keywords and not isinstance(arguments[0], ast.Starred):
                yield arguments[0]
            if ast.unparse(function).split(".")[-1] not in COMMUTE:
                for k in range(len(arguments) - 1):
                    yield ast.Call(function, _exchanged(arguments, k), keywords)
        case ast.Slice(lower, upper, step):
            for given, without in ((lower, (None, upper, step)), (upper, (lower, None, step)), (step, (lower, upper, None))):
                if given is not None:
                    yield ast.Slice(*without)


def _constants(value, parent, raising):
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
        yield ast.Constant(value - 1)
    elif isinstance(value, str) and value and " " not in value and not raising:
        yield ast.Constant(value + "_")


def _exchanged(elements, k):
    return [*elements[:k], elements[k + 1], elements[k], *elements[k + 2:]]


def _is_remark(statement):
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
