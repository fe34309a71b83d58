# What `helm test` runs: one shout, whose answer has to be right to the byte. Secrets go to curl by its standard input, so that
# they are no process's arguments.
set -eu

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

if [ -n "${TOKEN_URL-}" ]; then
    answer=$(printf 'user = "%s:%s"\n' "$CLIENT_ID" "$CLIENT_SECRET" |
        curl --config - --silent --show-error --fail --max-time 20 \
            --data-urlencode grant_type=client_credentials ${SCOPE:+--data-urlencode "scope=$SCOPE"} "$TOKEN_URL") ||
        fail "no token from $TOKEN_URL: are the client's id and secret right, and may it have the scope '${SCOPE-}'?"
    TOKEN=$(printf '%s' "$answer" | sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p')
    [ -n "$TOKEN" ] || fail "$TOKEN_URL answered 200 without an access_token"
fi

# Past the cache, for it is the way to SHOUTCLOUD that a cluster can break. The status comes after the body.
answer=$(printf '%s' "${TOKEN:+header = \"authorization: Bearer $TOKEN\"}" |
    curl --config - --silent --show-error --max-time 60 --write-out '\n%{http_code}' \
        --header 'content-type: text/plain' --header 'cache-control: no-cache' --data-raw 'hello, world!' "$URL") ||
    fail "$URL does not answer: is a NetworkPolicy in the way?"

expected='!DLROW ,OLLEH
200'
[ "$answer" = "$expected" ] || fail "$URL answered: $answer"
echo "ok: $URL shouts"
