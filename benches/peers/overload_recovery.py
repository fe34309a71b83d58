"""When latency is normal again after an overload."""

#: How much longer than before the overload the p99 may be when it counts as normal.
NORMAL = 1.5
#: Length of a window of the timeline that `thin open-loop` prints.
WINDOW_SECONDS = 0.25


def recovery_seconds(normal, windows):
    """Returns when the last window with a longer p99 than normal ends, or None if that is the last one."""
    slow = [number for number, p99 in enumerate(windows, 1) if p99 is None or p99 > NORMAL * normal]
    if slow and slow[-1] == len(windows):
        return None
    return WINDOW_SECONDS * (slow[-1] if slow else 0)
