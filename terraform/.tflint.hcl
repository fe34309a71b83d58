# All of tflint's built-in rules.
plugin "terraform" {
  enabled = true
  preset  = "all"
}
