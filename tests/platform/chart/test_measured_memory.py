"""The chart's memory limit covers the formula that the benchmark measured (docs/performance.md)."""

import json
import re
import sys

import pytest
from rendering import ALL, TOP, VARIABLES

sys.path.append(str(TOP / "benches/peers"))
import memory_fit

RESULTS = TOP / "benches/peers/results.json"
UNITS = {"": 1 / 1024**2, "B": 1 / 1024**2, "KiB": 1 / 1024, "MiB": 1, "GiB": 1024}


def mib(size):
    number, unit = re.fullmatch(r"(\d+)(\w*)", size).groups()
    return int(number) * UNITS[unit]


@pytest.mark.skipif(not RESULTS.exists(), reason="`make bench` has recorded nothing")
@pytest.mark.parametrize("name", ["minimal", "staging", "production"])
def test_limit_covers_the_connections_and_requests_of_the_configuration(name):
    variables = ALL[name].variables()

    def value(variable):
        return variables.get(variable) or VARIABLES[variable][0]

    fitted = memory_fit.fit(json.loads(RESULTS.read_text())["memory"])
    # As if each request in flight had a connection to SHOUTCLOUD, too.
    needed = memory_fit.needed_mib(fitted, int(value("MAX_CONNECTIONS")), int(value("MAX_REQUESTS_IN_FLIGHT")))
    limit = int(ALL[name].container["resources"]["limits"]["memory"].removesuffix("Mi"))
    assert limit >= needed + mib(value("CACHE_CAPACITY"))
