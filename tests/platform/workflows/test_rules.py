"""Each workflow keeps to each rule, and each rule finds the faults that it is for."""

import pytest
from faults import FAULTS
from rules import RULES
from workflows import Workflow, read


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_is_kept(rule):
    assert list(rule(read())) == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_is_broken_by_a_fault(fault):
    workflows = read()
    text = workflows[fault.workflow].text
    assert fault.there in text, "the fault is not where it was"
    workflows[fault.workflow] = Workflow(fault.workflow, text.replace(fault.there, fault.instead, 1))
    [rule] = [rule for rule in RULES if rule.__name__ == fault.rule]
    assert list(rule(workflows))


def test_each_rule_has_a_fault():
    assert {rule.__name__ for rule in RULES} == {fault.rule for fault in FAULTS}
