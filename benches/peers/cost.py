"""Money per million requests.

The prices are assumptions of docs/cost.md (list prices on demand in us-east-2 as known in November 2026, from memory); a test compares them.
"""

#: US dollars. A node has two CPUs; Auto Mode's fee is added.
NODE_PER_MONTH, FEE_PER_MONTH = 63.072, 7.569
LOGS_PER_GB, SPANS_PER_GB, NAT_PER_GB, INTERNET_PER_GB = 0.50, 0.50, 0.045, 0.09

#: Assumptions about use. The share of a node's CPU time that requests use: what the autoscaler aims at, and what other pods use.
HOURS_PER_MONTH, CPUS_PER_NODE, UTILIZATION = 730, 2, 0.5
#: Bytes of a request's response to the internet, and of a call to SHOUTCLOUD through a NAT gateway in both directions.
INTERNET_BYTES, NAT_BYTES = 1_000, 2_000
#: The share of the requests that is traced; the spans of a traced request that is proxied; bytes of a span with its attributes.
SAMPLED, SPANS, SPAN_BYTES = 0.1, 3, 1_000
MILLION, GB = 1_000_000, 1e9


def per_million(cpu_us, log_bytes, is_proxied):
    """Returns the dollars of a million requests by part."""
    cpu_second = (NODE_PER_MONTH + FEE_PER_MONTH) / (HOURS_PER_MONTH * 3600 * CPUS_PER_NODE * UTILIZATION)
    spans = SPANS if is_proxied else 1
    return {
        "CPU": cpu_us * MILLION / 1e6 * cpu_second,
        "logs": log_bytes * MILLION / GB * LOGS_PER_GB,
        "traces": SAMPLED * spans * SPAN_BYTES * MILLION / GB * SPANS_PER_GB,
        "NAT": NAT_BYTES * MILLION / GB * (NAT_PER_GB + INTERNET_PER_GB / 2) if is_proxied else 0.0,
        "to the internet": INTERNET_BYTES * MILLION / GB * INTERNET_PER_GB,
    }
