"""Each fault is found by its test."""


def test_is_found(fault, failed):
    messages = [message for name, message in failed.items() if name.startswith(fault.test)]
    assert any(fault.message in message for message in messages), "\n".join(failed)
