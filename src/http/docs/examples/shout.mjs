// Node.js 18 and later, with nothing installed.
const { SHOUTBACK, TOKEN } = process.env;

const answer = await fetch(`${SHOUTBACK}/v1`, {
  method: "POST",
  headers: {
    authorization: `Bearer ${TOKEN}`,
    "content-type": "application/json",
  },
  body: JSON.stringify({ data: "hello, world!" }),
  signal: AbortSignal.timeout(30_000),
});
if (answer.ok) {
  console.log((await answer.json()).data);
} else if (answer.headers.get("content-type") === "application/problem+json") {
  const { title, detail } = await answer.json();
  const wait = answer.headers.get("retry-after");
  throw new Error(`${title}: ${detail}${wait ? `; try again in ${wait} s` : ""}`);
} else {
  throw new Error(`status ${answer.status}`);
}
