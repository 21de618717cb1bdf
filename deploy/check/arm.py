"""Expands an ARM template with parameters: every resource with its full name and no expression left.

What only a deployment knows (principal ids, host names) is a fixed stand-in.
"""

import re
import uuid

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/edge"
TOKEN = re.compile(r"\s*('(?:[^']|'')*'|-?\d+|[A-Za-z]\w*|[()\[\],.])")


class Known:
    """What a deployment would know of a resource: the id stands for each of its members."""

    def __init__(self, identity):
        self.identity = identity

    def __getitem__(self, member):
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.identity}#{member}"))


class Expansion:
    def __init__(self, template, given):
        self.template = template
        self.index = None
        known = template.get("parameters", {})
        unknown = set(given) - set(known)
        if unknown:
            raise ValueError(f"the template has no parameters {sorted(unknown)}")
        self.parameters = {}
        for name, parameter in known.items():
            if name not in given and "defaultValue" not in parameter:
                raise ValueError(f"parameter {name} is missing")
            value = given[name]["value"] if name in given else self.value(parameter["defaultValue"])
            wanted = {"string": str, "int": int, "array": list, "object": dict, "bool": bool}[parameter["type"]]
            if not isinstance(value, wanted):
                raise ValueError(f"parameter {name} is no {parameter['type']}")
            size = value if isinstance(value, int) else len(value)
            least = parameter.get("minLength", parameter.get("minValue", size))
            most = parameter.get("maxLength", parameter.get("maxValue", size))
            if not least <= size <= most:
                raise ValueError(f"parameter {name}: {size} is not in {least}..{most}")
            self.parameters[name] = value
        self.variables = {name: self.value(value) for name, value in template.get("variables", {}).items()}

    def value(self, value):
        if isinstance(value, dict):
            return {key: self.value(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if isinstance(value, str) and value.startswith("[["):
            return value[1:]
        if isinstance(value, str) and value.startswith("[") and value.endswith("]"):
            self.tokens = TOKEN.findall(value[1:-1])
            if "".join(self.tokens) != re.sub(r"\s+(?=(?:[^']*'[^']*')*[^']*$)", "", value[1:-1]):
                raise ValueError(f"not an expression: {value}")
            found = self.expression()
            if self.tokens:
                raise ValueError(f"not an expression: {value}")
            return found
        return value

    def expression(self):
        token = self.tokens.pop(0)
        if token.startswith("'"):
            value = token[1:-1].replace("''", "'")
        elif re.fullmatch(r"-?\d+", token):
            value = int(token)
        else:
            self.take("(")
            arguments = []
            while self.tokens[0] != ")":
                arguments.append(self.expression())
                if self.tokens[0] == ",":
                    self.take(",")
            self.take(")")
            value = self.call(token, arguments)
        while self.tokens and self.tokens[0] in ".[":
            if self.tokens.pop(0) == ".":
                value = value[self.tokens.pop(0)]
            else:
                value = value[self.expression()]
                self.take("]")
        return value

    def take(self, token):
        if self.tokens.pop(0) != token:
            raise ValueError(f"{token} is missing")

    def call(self, name, arguments):
        if name == "parameters":
            return self.parameters[arguments[0]]
        if name == "variables":
            return self.variables[arguments[0]]
        if name == "format":
            return re.sub(r"\{(\d+)\}", lambda found: str(arguments[1 + int(found[1])]), arguments[0])
        if name == "length":
            return len(arguments[0])
        if name == "copyIndex" and self.index is not None:
            return self.index
        if name == "resourceGroup":
            return {"id": GROUP, "location": "eastus2"}
        if name == "resourceId":
            return f"{GROUP}/providers/{joined(*arguments)}"
        if name == "subscriptionResourceId":
            return f"/subscriptions/{SUBSCRIPTION}/providers/{joined(*arguments)}"
        if name == "reference":
            return Known(arguments[0])
        if name == "guid":
            # Another one than Azure's, and as stable.
            return str(uuid.uuid5(uuid.NAMESPACE_URL, "|".join(arguments)))
        raise ValueError(f"function {name} is not known here")

    def resources(self):
        made, loops = [], {}
        for resource in self.template["resources"]:
            loop = resource.get("copy")
            count = self.value(loop["count"]) if loop else 1
            for index in range(count):
                self.index = index if loop else None
                one = self.value({key: value for key, value in resource.items() if key != "copy"})
                one["id"] = f"{one.get('scope', GROUP)}/providers/{joined(one['type'], *one['name'].split('/'))}"
                made.append(one)
                if loop:
                    loops.setdefault(loop["name"], []).append(one["id"])
            self.index = None
        ids = [one["id"] for one in made]
        if len(set(ids)) != len(ids):
            raise ValueError("two resources have one id")
        for one in made:
            for other in one.get("dependsOn", []):
                if other not in loops and other not in ids:
                    raise ValueError(f"{one['id']} depends on {other}, which is not there")
        return made


def joined(kind, *names):
    provider, *types = kind.split("/")
    if len(types) != len(names):
        raise ValueError(f"{kind} has {len(types)} names, not {names}")
    return "/".join([provider, *(part for pair in zip(types, names) for part in pair)])


def expand(template, parameters):
    """The resources, with their ids, and the outputs."""
    expansion = Expansion(template, parameters["parameters"])
    outputs = {name: expansion.value(one["value"]) for name, one in template.get("outputs", {}).items()}
    return {"resources": expansion.resources(), "outputs": outputs}
