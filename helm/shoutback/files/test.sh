# The command of `helm test`: sends one request and compares the whole response. Secrets are passed to curl by its standard input, so
# that they are not in the arguments of a process.
set -eu

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

if [ -n "${TOKEN_URL-}" ]; then
    response=$(printf 'user = "%s:%s"\n' "$CLIENT_ID" "$CLIENT_SECRET" |
        curl --config - --silent --show-error --fail --max-time 20 \
            --data-urlencode grant_type=client_credentials ${SCOPE:+--data-urlencode "scope=$SCOPE"} "$TOKEN_URL") ||
        fail "no token from $TOKEN_URL: are the client's id and secret right, and is it allowed the scope '${SCOPE-}'?"
    TOKEN=$(printf '%s' "$response" | sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p')
    [ -n "$TOKEN" ] || fail "$TOKEN_URL responded with 200 without an access_token"
fi

# Bypasses the cache, because the cluster affects the connection to SHOUTCLOUD. The status follows the body.
response=$(printf '%s' "${TOKEN:+header = \"authorization: Bearer $TOKEN\"}" |
    curl --config - --silent --show-error --max-time 60 --write-out '\n%{http_code}' \
        --header 'content-type: text/plain' --header 'cache-control: no-cache' --data-raw 'hello, world!' "$URL") ||
    fail "$URL does not respond: does a NetworkPolicy block it?"

expected='!DLROW ,OLLEH
200'
[ "$response" = "$expected" ] || fail "$URL responded: $response"
echo "ok: $URL shouts"
