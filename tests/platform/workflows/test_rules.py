"""Each workflow conforms to each rule, and each rule finds its faults."""

import pytest
from faults import FAULTS
from rules import RULES
from workflows import Workflow, read


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_holds(rule):
    assert list(rule(read())) == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_finds_a_fault(fault):
    workflows = read()
    text = workflows[fault.workflow].text
    assert fault.original in text, "the replaced text is missing"
    workflows[fault.workflow] = Workflow(fault.workflow, text.replace(fault.original, fault.replacement, 1))
    [rule] = [rule for rule in RULES if rule.__name__ == fault.rule]
    assert list(rule(workflows))


def test_each_rule_has_a_fault():
    assert {rule.__name__ for rule in RULES} == {fault.rule for fault in FAULTS}
