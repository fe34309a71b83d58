"""The Ingress of the chart: the real NGINX behind a fake network load balancer, in front of replicas."""

import contextlib
import ssl

import manifests
from nginx import Nginx
from relays import Balancer

ENVIRONMENT = "production"


class Ingress:
    """`method` is how NGINX selects a replica, in the words of the controller's ConfigMap."""

    host = manifests.HOST

    def __init__(self, stack, directory, authority, replicas, method):
        directory.mkdir()
        secret = directory / "tls.pem"
        authority.issue_cert(self.host).private_key_and_cert_chain_pem.write_to_path(secret)
        self.tls = ssl.create_default_context()
        authority.configure_trust(self.tls)
        # The service's own quota decides here.
        objects = manifests.of_environment(ENVIRONMENT, rateLimit={"perSecond": 0})
        entries = manifests.entries_of(ENVIRONMENT) | {"lb-method": method}
        addresses = [replica.address for replica in replicas]
        nginx = Nginx(directory, manifests.ingress_of(objects), entries, {"shoutback-tls": secret}, addresses)
        self.nginx = stack.enter_context(nginx)
        self.address = stack.enter_context(Balancer(lambda: nginx.layout.https)).address
