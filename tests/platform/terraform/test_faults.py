"""The tests can fail: each of these faults is found, by the test that is for it."""


def test_is_found(fault, failed):
    said = [message for name, message in failed.items() if name.startswith(fault.test)]
    assert any(fault.says in message for message in said), "\n".join(failed)
