mock_provider "aws" {
  source          = "../../testing/aws"
  override_during = plan
}

run "example" {
  command = plan

  module {
    source = "./example"
  }

  assert {
    condition     = output.log_group == "aws/spans"
    error_message = "Spans are in X-Ray's own group."
  }
}

run "indexed" {
  command = plan

  variables {
    indexing_percentage = 10
  }

  assert {
    condition     = jsondecode(aws_cloudformation_stack.transaction_search.template_body).Resources.TransactionSearch.Properties.IndexingPercentage == 10
    error_message = "The given percentage is indexed."
  }
}

run "refused" {
  command = plan

  variables {
    indexing_percentage = 101
  }

  expect_failures = [var.indexing_percentage]
}
