"""docs/performance.md shows what the last recording measured; money and memory follow from it."""

import re
import sys

import pytest
from pages import TOP

sys.path.append(str(TOP / "benches/peers"))
import cost
import memory_fit
import overload_recovery
import report
import spread

PRICES = {
    "Nodes, 2 CPUs each (m6a.large)": cost.NODE_PER_MONTH,
    "Auto Mode's fee for them, 12 %": cost.FEE_PER_MONTH,
    "Data through NAT gateways, GB": cost.NAT_PER_GB,
    "Data to the internet, GB": cost.INTERNET_PER_GB,
    "Logs ingested, GB": cost.LOGS_PER_GB,
    "Spans ingested, GB": cost.SPANS_PER_GB,
}


def test_page_and_chart_are_those_of_the_recording():
    results, text = report.recorded(), report.PAGE.read_text()
    assert report.page(text, results) == text, "run `make bench ARGS=--render`"
    assert report.PICTURE.exists() == bool(results)
    if results:
        assert report.PICTURE.read_text() == report.chart(results)


@pytest.mark.parametrize(("part", "price"), PRICES.items())
def test_price_is_that_of_the_page_on_cost(part, price):
    row = re.search(rf"^\| {re.escape(part)} \| ([\d.]+) \|", (TOP / "docs/cost.md").read_text(), re.M)
    assert float(row[1]) == price


def test_fit_finds_the_coefficients():
    loads = [(0, 0), (1000, 0), (3000, 0), (1000, 1000), (3000, 3000)]
    points = [{"connections": c, "waiting": w, "kib": 9000 + 7 * c + 40 * w} for c, w in loads]
    assert memory_fit.fit(points) == pytest.approx((9000, 7, 40))
    assert memory_fit.needed_mib((1024, 1, 2), 1024, 512) == pytest.approx(3)


@pytest.mark.parametrize(
    ("windows", "seconds"),
    [([100, 100], 0), ([400, 300, 100, 100], 0.5), ([100, 400, 100], 0.5), ([None, 100], 0.25), ([100, 400], None)],
)
def test_recovery_ends_with_the_last_slow_window(windows, seconds):
    assert overload_recovery.recovery_seconds(100, windows) == seconds


def test_difference_within_the_range_of_the_rounds_is_not_measurable():
    assert not spread.is_measurable(spread.of([10, 11, 12]), spread.of([9, 9.5, 10]))
    assert spread.is_measurable(spread.of([20, 21, 22]), spread.of([9, 9.5, 10]))
