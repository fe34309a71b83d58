"""TCP relays in front of NGINX and behind it."""

import ipaddress
import struct

from harness.relay import Relay


class Balancer(Relay):
    """A fake network load balancer, which sends the address `client` by version 2 of the PROXY protocol."""

    client = "203.0.113.7"

    def preface(self):
        source = ipaddress.ip_address(self.client).packed
        addresses = source + ipaddress.ip_address("10.0.0.1").packed + struct.pack(">HH", 40000, 443)
        return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack(">BBH", 0x21, 0x11, len(addresses)) + addresses


class Witness(Relay):
    """Records which side, `client` or `server`, closes each connection."""

    def __init__(self, target):
        self.ends = []
        super().__init__(target)

    def ended(self, side):
        self.ends.append(side)
