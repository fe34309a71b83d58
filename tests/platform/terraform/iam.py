"""Evaluates IAM policies."""

import fnmatch
import json
import re

# The condition operators of the shipped policies, for one value of the request. Negated ones also match if the key is absent.
OPERATORS = {
    "ArnEquals": lambda actual, expected: matches(actual, expected),
    "ArnLike": lambda actual, expected: matches(actual, expected),
    "Bool": lambda actual, expected: actual.lower() == expected.lower(),
    "NumericLessThan": lambda actual, expected: float(actual) < float(expected),
    "StringEquals": lambda actual, expected: actual == expected,
    "StringLike": lambda actual, expected: matches(actual, expected),
}


def policies(resources):
    """Yields every policy in these resources, that is, every JSON with statements, as resource, attribute and policy."""
    for resource in resources:
        for name, text in _strings(resource.values):
            if text.lstrip().startswith("{"):
                try:
                    policy = json.loads(text)
                except ValueError:
                    continue
                if "Statement" in policy:
                    yield resource, name, policy


def _strings(values, path=""):
    if isinstance(values, str):
        yield path, values
    elif isinstance(values, dict | list):
        for key, value in values.items() if isinstance(values, dict) else enumerate(values):
            yield from _strings(value, f"{path}.{key}".lstrip("."))


def statements(policy):
    return _list(policy["Statement"])


def actions(statement):
    return _list(statement.get("Action", []))


def targets(statement):
    return _list(statement.get("Resource", []))


def principals(statement):
    """Returns kind and name of each principal, such as ("Service", "eks.amazonaws.com")."""
    listed = statement.get("Principal", {})
    if isinstance(listed, str):
        return [("", listed)]
    return [(kind, name) for kind, names in listed.items() for name in _list(names)]


def conditions(statement):
    """Yields operator, key and values of each condition."""
    return [(operator, key, _list(values)) for operator, keys in statement.get("Condition", {}).items() for key, values in keys.items()]


def allowed(policies, action, resource="*", principal=None, **context):
    """Returns whether these policies allow a request. Context keys are keyword arguments, aws__RequestedRegion for aws:RequestedRegion, or
    the dictionary `keys`."""
    keys = {name.replace("__", ":"): value for name, value in context.items() if name != "keys"} | context.get("keys", {})
    matching = [statement for policy in policies for statement in statements(policy) if _applies(statement, action, resource, principal, keys)]
    return any(statement["Effect"] == "Allow" for statement in matching) and all(statement["Effect"] == "Allow" for statement in matching)


def _applies(statement, action, resource, principal, keys):
    return (
        any(matches(action.lower(), name.lower()) for name in actions(statement))
        and any(matches(resource, name) for name in targets(statement) or ["*"])
        and (principal is None or any(name in (principal, "*") for _, name in principals(statement)))
        and all(_is_true(operator, keys.get(key), values) for operator, key, values in conditions(statement))
    )


def _is_true(operator, actual, values):
    if operator == "Null":
        return (actual is None) == (values[0] == "true")
    if operator.startswith("ForAllValues:"):
        return all(_is_true(operator.removeprefix("ForAllValues:"), one, values) for one in _list(actual or []))
    operator, optional = re.fullmatch(r"(\w+?)(IfExists)?", operator).groups()
    positive = operator.replace("StringNot", "String")
    if actual is None:
        return bool(optional) or positive != operator
    return any(OPERATORS[positive](actual, one) for one in values) == (positive == operator)


def matches(text, pattern):
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def _list(value):
    return value if isinstance(value, list) else [value]
