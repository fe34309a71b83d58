"""What the suites that run the real binary from outside have in common. The standard library only, except for `http2`."""
