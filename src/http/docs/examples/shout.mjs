// Node.js 18 and later, without dependencies.
const { SHOUTBACK, TOKEN } = process.env;

const response = await fetch(`${SHOUTBACK}/v1`, {
  method: "POST",
  headers: {
    authorization: `Bearer ${TOKEN}`,
    "content-type": "application/json",
  },
  body: JSON.stringify({ data: "hello, world!" }),
  signal: AbortSignal.timeout(30_000),
});
if (response.ok) {
  console.log((await response.json()).data);
} else if (response.headers.get("content-type") === "application/problem+json") {
  const { title, detail } = await response.json();
  const wait = response.headers.get("retry-after");
  throw new Error(`${title}: ${detail}${wait ? `; retry in ${wait} s` : ""}`);
} else {
  throw new Error(`status ${response.status}`);
}
