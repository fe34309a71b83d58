# None: scripts/terraform/role derives the ARNs of the roles.
