module "transaction_search" {
  source = "../"
}

output "log_group" {
  value = module.transaction_search.log_group
}
