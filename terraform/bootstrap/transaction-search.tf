module "transaction_search" {
  source = "../modules/transaction-search"
  count  = var.transaction_search ? 1 : 0
}
