"""Compiles a Bicep template to an ARM template, as far as the templates in deploy/azure use the language.

The files are parsed by tree-sitter's grammar of Bicep. What this does not know is an error, never left out. It is not Microsoft's
compiler, whose output has the same meaning and more metadata: there is none that is installed without a download.
"""

import json

import tree_sitter
import tree_sitter_bicep

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
DECORATORS = {"allowed": "allowedValues", "minLength": "minLength", "maxLength": "maxLength", "minValue": "minValue", "maxValue": "maxValue"}
ESCAPES = {r"\'": "'", r"\\": "\\", r"\n": "\n", r"\t": "\t", r"\r": "\r", r"\$": "$"}


class Expression(str):
    """An expression of ARM's language, without its brackets."""


class Resource:
    def __init__(self, kind, body, exists, loop):
        self.type, self.version = kind.split("@")
        self.body, self.exists, self.loop = body, exists, loop


def text(node):
    return node.text.decode()


def named(node):
    return [child for child in node.children if child.is_named and child.type != "comment"]


def quoted(value):
    return "'" + value.replace("'", "''") + "'"


def as_expression(value):
    """A value within an expression."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, str):
        return quoted(value)
    if value is True or value is False:
        return f"{str(value).lower()}()"
    if value is None:
        return "null()"
    if isinstance(value, int):
        return str(value)
    raise ValueError(f"{value!r} within an expression")


def as_json(value):
    """A value as a member of a template."""
    if isinstance(value, Expression):
        return f"[{value}]"
    if isinstance(value, str):
        return f"[{value}" if value.startswith("[") else value
    if isinstance(value, list):
        return [as_json(one) for one in value]
    if isinstance(value, dict):
        return {key: as_json(one) for key, one in value.items()}
    return value


class Template:
    def __init__(self, path):
        self.path = path
        self.parameters, self.variables, self.resources, self.outputs = {}, {}, {}, {}
        root = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bicep.language())).parse(path.read_bytes()).root_node
        if root.has_error:
            raise ValueError(f"{path} is not Bicep")
        # What is referred to may come later in the file.
        declarations, decorators = [], []
        for node in named(root):
            if node.type == "decorators":
                decorators = named(node)
                continue
            declarations.append((node, decorators))
            decorators = []
        for node, _ in declarations:
            if node.type == "resource_declaration":
                self.declare(node)
            elif node.type == "parameter_declaration":
                self.parameters[text(named(node)[0])] = None
            elif node.type == "variable_declaration":
                self.variables[text(named(node)[0])] = None
        for node, decorators in declarations:
            self.define(node, decorators)

    def fail(self, node):
        row, column = node.start_point
        raise ValueError(f"{self.path}:{row + 1}:{column + 1}: {node.type} is not compiled here: {text(node)}")

    def declare(self, node):
        name, kind, body = named(node)
        loop = None
        if body.type == "for_statement":
            item, source, inner = named(body)
            variables = [text(one) for one in named(item)] if item.type == "for_loop_parameters" else [text(item)]
            loop, body = (variables, source), inner
        exists = any(child.type == "existing" for child in node.children)
        self.resources[text(name)] = Resource(self.value(kind, {}, set()), body, exists, loop)

    def define(self, node, decorators):
        parts = named(node)
        if node.type == "target_scope_assignment":
            if self.value(parts[0], {}, set()) != "resourceGroup":
                self.fail(node)
        elif node.type == "parameter_declaration":
            made = {"type": text(parts[1])}
            if len(parts) > 2:
                made["defaultValue"] = as_json(self.value(parts[2], {}, set()))
            for name, value in self.decorations(decorators):
                if name == "description":
                    made["metadata"] = {"description": value}
                else:
                    made[DECORATORS[name]] = value
            self.parameters[text(parts[0])] = made
        elif node.type == "variable_declaration":
            self.variables[text(parts[0])] = as_json(self.value(parts[1], {}, set()))
        elif node.type == "output_declaration":
            made = {"type": text(parts[1])}
            for name, value in self.decorations(decorators):
                made["metadata"] = {name: value}
            made["value"] = as_json(self.value(parts[2], {}, set()))
            self.outputs[text(parts[0])] = made
        elif node.type != "resource_declaration":
            self.fail(node)

    def decorations(self, decorators):
        for one in decorators:
            name, arguments = named(named(one)[0])
            (argument,) = named(arguments)
            yield text(name), self.value(argument, {}, set())

    def value(self, node, scope, used):
        """The value of a node; `scope` has the variables of loops, `used` gets the resources that it refers to."""
        kind = node.type
        if kind == "string":
            return self.string(node, scope, used)
        if kind == "number":
            return int(text(node))
        if kind == "boolean":
            return text(node) == "true"
        if kind == "null":
            return None
        if kind == "array":
            return [self.value(one, scope, used) for one in named(node)]
        if kind == "object":
            return self.object(node, scope, used)
        if kind == "identifier":
            return self.name(node, scope)
        if kind == "call_expression":
            name, arguments = named(node)
            given = [as_expression(self.value(one, scope, used)) for one in named(arguments)]
            return Expression(f"{text(name)}({', '.join(given)})")
        if kind == "member_expression":
            return self.member(node, scope, used)
        if kind == "subscript_expression":
            of, index = named(node)
            return Expression(f"{as_expression(self.value(of, scope, used))}[{as_expression(self.value(index, scope, used))}]")
        return self.fail(node)

    def string(self, node, scope, used):
        parts, given = [], []
        for child in named(node):
            if child.type == "string_content":
                parts.append(text(child))
            elif child.type == "escape_sequence":
                parts.append(ESCAPES[text(child)])
            elif child.type == "interpolation":
                given.append(as_expression(self.value(named(child)[0], scope, used)))
                parts.append(len(given) - 1)
            else:
                self.fail(child)
        if not given:
            return "".join(parts)
        form = "".join(f"{{{part}}}" if isinstance(part, int) else part.replace("{", "{{").replace("}", "}}") for part in parts)
        return Expression(f"format({', '.join([quoted(form), *given])})")

    def object(self, node, scope, used):
        made = {}
        for one in named(node):
            key, value = named(one)
            name = self.value(key, {}, set()) if key.type == "string" else text(key)
            if name in made:
                self.fail(one)
            made[name] = self.value(value, scope, used)
        return made

    def name(self, node, scope):
        name = text(node)
        if name in scope:
            return scope[name]
        if name in self.parameters:
            return Expression(f"parameters('{name}')")
        if name in self.variables:
            return Expression(f"variables('{name}')")
        return self.fail(node)

    def member(self, node, scope, used):
        of, member = named(node)
        found = self.resource(of, scope, used)
        if found is None:
            return Expression(f"{as_expression(self.value(of, scope, used))}.{text(member)}")
        symbol, inner = found
        resource = self.resources[symbol]
        if text(member) == "id":
            return self.identity(symbol, inner, used)
        if text(member) == "name":
            return as_expression(self.names(symbol, inner, set())[-1])
        if text(member) == "properties":
            return Expression(f"reference({self.identity(symbol, inner, used)}, '{resource.version}')")
        return self.fail(node)

    def resource(self, node, scope, used):
        """Which resource a node names, and the scope in which its body is read; None for anything else."""
        index = None
        if node.type == "subscript_expression":
            node, index = named(node)
        if node.type != "identifier" or text(node) in scope or text(node) not in self.resources:
            return None
        symbol = text(node)
        resource = self.resources[symbol]
        if (resource.loop is None) != (index is None):
            self.fail(node)
        if not resource.exists:
            used.add((symbol, None if index is None else as_expression(self.value(index, scope, set()))))
        return symbol, self.scope_of(resource, None if index is None else as_expression(self.value(index, scope, set())))

    def scope_of(self, resource, index):
        if resource.loop is None:
            return {}
        variables, source = resource.loop
        items = as_expression(self.value(source, {}, set()))
        return dict(zip(variables, [Expression(f"{items}[{index}]"), Expression(index)]))

    def members(self, symbol):
        return {text(named(one)[0]): named(one)[1] for one in named(self.resources[symbol].body)}

    def names(self, symbol, scope, used):
        """The names of a resource and of those that it is within, the outermost first."""
        members = self.members(symbol)
        own = self.value(members["name"], scope, used)
        if "parent" not in members:
            return [own]
        parent, inner = self.resource(members["parent"], scope, used)
        return [*self.names(parent, inner, set()), own]

    def identity(self, symbol, scope, used):
        names = [as_expression(name) for name in self.names(symbol, scope, set())]
        return Expression(f"resourceId({', '.join([quoted(self.resources[symbol].type), *names])})")

    def emit(self, symbol):
        resource = self.resources[symbol]
        used = set()
        made = {}
        scope = {}
        if resource.loop is not None:
            scope = self.scope_of(resource, "copyIndex()")
            made["copy"] = {"name": symbol, "count": f"[length({as_expression(self.value(resource.loop[1], {}, set()))})]"}
        made["type"], made["apiVersion"] = resource.type, resource.version
        members = self.members(symbol)
        names = self.names(symbol, scope, used)
        if len(names) == 1:
            made["name"] = as_json(names[0])
        else:
            form = "/".join(f"{{{index}}}" for index in range(len(names)))
            made["name"] = f"[format({', '.join([quoted(form), *map(as_expression, names)])})]"
        depends = []
        for name, node in members.items():
            if name in ("name", "parent"):
                continue
            if name == "scope":
                on, inner = self.resource(node, scope, used)
                made["scope"] = f"[{self.identity(on, inner, used)}]"
            elif name == "dependsOn":
                depends = [text(one) for one in named(node)]
            else:
                made[name] = as_json(self.value(node, scope, used))
        on = {f"[{self.identity(other, self.scope_of(self.resources[other], index), set())}]" for other, index in used}
        on |= {other if self.resources[other].loop else f"[{self.identity(other, {}, set())}]" for other in depends}
        if on:
            made["dependsOn"] = sorted(on)
        return made

    def build(self):
        return {
            "$schema": SCHEMA,
            "contentVersion": "1.0.0.0",
            "parameters": self.parameters,
            "variables": self.variables,
            "resources": [self.emit(symbol) for symbol, resource in self.resources.items() if not resource.exists],
            "outputs": self.outputs,
        }


def compile(path):
    """The template of a file."""
    built = Template(path).build()
    return json.loads(json.dumps({key: value for key, value in built.items() if value or key == "resources"}))
