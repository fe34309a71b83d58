"""Prints the state changes of alerts, and waits for them."""

import time

# For an alert to fire or to resolve; far more than needed at this speed.
TIMEOUT_SECONDS = 120


class AlertMonitor:
    def __init__(self, prometheus):
        self.prometheus, self.began = prometheus, time.monotonic()
        self.states = {}

    def log(self, what):
        print(f"{time.monotonic() - self.began:6.1f} s  {what}", flush=True)

    def pause(self, seconds):
        """Prints state changes for `seconds`."""
        self._until(lambda: False, seconds)

    def until_firing(self, alert):
        return self._until(lambda: self._state(alert) == "firing", TIMEOUT_SECONDS)

    def until_resolved(self, alert):
        return self._until(lambda: self._state(alert) is None, TIMEOUT_SECONDS)

    def _state(self, name):
        """Returns the highest state of the alerts with this name."""
        states = {state for (alert, *_), state in self.states.items() if alert == name}
        return "firing" if "firing" in states else "pending" if states else None

    def _until(self, condition, within):
        deadline = time.monotonic() + within
        while True:
            self._update()
            if condition():
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)

    def _update(self):
        now = {}
        for alert in self.prometheus.alerts():
            labels = alert["labels"]
            now[labels["alertname"], labels["severity"], labels.get("slo", "")] = alert["state"]
        for identity, state in now.items():
            if self.states.get(identity) != state:
                self.log(f"  {state:<8} {describe(*identity)}")
        for identity in self.states.keys() - now.keys():
            self.log(f"  resolved {describe(*identity)}")
        self.states = now


def describe(alert, severity, slo):
    return f"{alert} ({severity}{f', {slo}' if slo else ''})"
