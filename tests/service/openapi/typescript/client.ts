// Shouts with the client that openapi-typescript generates, in both formats, and reads a problem.

import createClient from "openapi-fetch";
import type { paths } from "./api.js";

declare const process: { env: Record<"SHOUTBACK" | "TOKEN", string> };

const client = createClient<paths>({
  baseUrl: process.env.SHOUTBACK,
  headers: { authorization: `Bearer ${process.env.TOKEN}` },
});

const json = await client.POST("/v1", { body: { data: "hello, world!" } });
const text = await client.POST("/v1", {
  body: "hello, world!",
  headers: { "content-type": "text/plain" },
  bodySerializer: (body) => body,
  parseAs: "text",
});
const rejected = await client.POST("/v1", { body: { data: "hello, world!" }, headers: { authorization: "Bearer none" } });

if (json.error || text.error || !rejected.error) {
  throw new Error("an unexpected status");
}
// The compiler knows the types of all problems, and that the condition leaves those of one status.
const type: "/docs#unauthenticated" | undefined = rejected.error.status === 401 ? rejected.error.type : undefined;
console.log(JSON.stringify({ json: json.data, text: text.data, problem: type }));
