curl --silent --show-error --fail-with-body --max-time 30 \
     --header "authorization: Bearer $TOKEN" \
     --header "content-type: application/json" \
     --data '{"data":"hello, world!"}' \
     "$SHOUTBACK/v1"
