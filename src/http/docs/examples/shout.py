# Python 3.8 and later, without dependencies.
import json
import os
import sys
import urllib.error
import urllib.request

request = urllib.request.Request(
    os.environ["SHOUTBACK"] + "/v1",
    data=json.dumps({"data": "hello, world!"}).encode(),
    headers={
        "authorization": "Bearer " + os.environ["TOKEN"],
        "content-type": "application/json",
    },
)
try:
    with urllib.request.urlopen(request, timeout=30) as response:
        print(json.load(response)["data"])
except urllib.error.HTTPError as error:
    if error.headers.get_content_type() != "application/problem+json":
        raise
    problem = json.load(error)
    wait = error.headers.get("retry-after")
    hint = f"; retry in {wait} s" if wait else ""
    sys.exit(f"{problem['title']}: {problem['detail']}{hint}")
