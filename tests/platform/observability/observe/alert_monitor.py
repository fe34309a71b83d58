"""What the alerts do, said as it happens."""

import time

# Of an alert that has to fire or to go quiet; far more than they need at the speed that they have here.
TIMEOUT_SECONDS = 120


class AlertMonitor:
    def __init__(self, prometheus):
        self.prometheus, self.began = prometheus, time.monotonic()
        self.states = {}

    def log(self, what):
        print(f"{time.monotonic() - self.began:6.1f} s  {what}", flush=True)

    def pause(self, seconds):
        """Says what alerts do for so long."""
        self._until(lambda: False, seconds)

    def until_firing(self, alert):
        return self._until(lambda: self._state(alert) == "firing", TIMEOUT_SECONDS)

    def until_quiet(self, alert):
        return self._until(lambda: self._state(alert) is None, TIMEOUT_SECONDS)

    def _state(self, name):
        """The highest one of the alerts with this name."""
        states = {state for (alert, *_), state in self.states.items() if alert == name}
        return "firing" if "firing" in states else "pending" if states else None

    def _until(self, holds, within):
        deadline = time.monotonic() + within
        while True:
            self._update()
            if holds():
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
            self.log(f"  quiet    {describe(*identity)}")
        self.states = now


def describe(alert, severity, slo):
    return f"{alert} ({severity}{f', {slo}' if slo else ''})"
