"""What stands before NGINX and behind it, on the level of TCP."""

import ipaddress
import struct

from harness.relay import Relay


class Balancer(Relay):
    """A network load balancer: says in version 2 of the PROXY protocol who calls. That is `client`, an address."""

    client = "203.0.113.7"

    def preface(self):
        source = ipaddress.ip_address(self.client).packed
        addresses = source + ipaddress.ip_address("10.0.0.1").packed + struct.pack(">HH", 40000, 443)
        return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack(">BBH", 0x21, 0x11, len(addresses)) + addresses


class Witness(Relay):
    """Notes which side ends each connection, in order: `client` is who connected."""

    def __init__(self, target):
        self.ends = []
        super().__init__(target)

    def ended(self, side):
        self.ends.append(side)
