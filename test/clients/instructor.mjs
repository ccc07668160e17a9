// Instructor, which gets answers of a form in three ways.
import Instructor from "@instructor-ai/instructor";
import OpenAI from "openai";
import { z } from "zod";
import { base, isPerson, key, model, suite, want } from "./check.mjs";

const Person = z.object({ name: z.enum(["Ada", "Grace"]), born: z.number().int().min(1000).max(2000) });
const ask = { model, messages: [{ role: "user", content: "Who?" }], max_retries: 0, temperature: 0, max_tokens: 200,
  response_model: { schema: Person, name: "Person" } };
const way = (mode) => async () => {
  const client = Instructor({ client: new OpenAI({ baseURL: `${base}/v1`, apiKey: key, maxRetries: 0 }), mode });
  want(isPerson(await client.chat.completions.create(ask)), "a person");
  let last;
  for await (const part of await client.chat.completions.create({ ...ask, stream: true })) last = part;
  want(isPerson(last), "a person at the end");
};

await suite("@instructor-ai/instructor", {
  structured: { JSON_SCHEMA: way("JSON_SCHEMA") },
  tools: { TOOLS: way("TOOLS"), FUNCTIONS: way("FUNCTIONS") },
});
