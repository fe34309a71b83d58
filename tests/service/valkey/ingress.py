"""The Ingress of the chart: the real NGINX in front of replicas."""

import ssl

import manifests
from nginx import Nginx

ENVIRONMENT = "production"


class Ingress(Nginx):
    """NGINX without a load balancer in front. `method` is how NGINX selects a replica, in the words of the controller's ConfigMap."""

    host = manifests.HOST

    def __init__(self, directory, authority, replicas, method):
        directory.mkdir()
        secret = directory / "tls.pem"
        authority.issue_cert(self.host).private_key_and_cert_chain_pem.write_to_path(secret)
        self.tls = ssl.create_default_context()
        authority.configure_trust(self.tls)
        # The service's own quota decides here.
        objects = manifests.of_environment(ENVIRONMENT, rateLimit={"perSecond": 0})
        entries = manifests.entries_of(ENVIRONMENT) | {"lb-method": method, "proxy-protocol": "False"}
        addresses = [replica.address for replica in replicas]
        super().__init__(directory, manifests.ingress_of(objects), entries, {"shoutback-tls": secret}, addresses)

    @property
    def address(self):
        return f"127.0.0.1:{self.layout.https}"
