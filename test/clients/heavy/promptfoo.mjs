// promptfoo, which evaluates prompts, with its providers for OpenAI's three routes.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { base, isPerson, key, model, person, report, suite, want, weather } from "../check.mjs";

process.env.PROMPTFOO_DISABLE_TELEMETRY = process.env.PROMPTFOO_DISABLE_UPDATE = "1";
process.env.PROMPTFOO_CONFIG_DIR = fs.mkdtempSync(path.join(os.tmpdir(), "promptfoo-"));
const { default: promptfoo } = await import("promptfoo");

// ask gives the answer of one provider to one prompt.
async function ask(route, config) {
  const evaluation = await promptfoo.evaluate({ prompts: ["Say something about {{topic}}."], writeLatestResults: false,
    providers: [{ id: `openai:${route}:${config.model ?? model}`,
      config: { apiBaseUrl: `${base}/v1`, apiKey: key, temperature: 0, max_tokens: 200, ...config } }],
    tests: [{ vars: { topic: "rain" } }] }, { cache: false });
  const { results } = await evaluation.toEvaluateSummary();
  const { response, error } = results[0];
  return { output: response?.output, usage: response?.tokenUsage, error: error ?? response?.error };
}

const form = { response_format: { type: "json_schema", json_schema: { name: "person", schema: person } } };
const tool = { name: "weather", parameters: weather };

await suite("promptfoo", {
  chat: {
    chat: async () => {
      const r = await ask("chat", { max_tokens: 12 });
      want(typeof r.output === "string" && r.usage.completion > 0, `a text and usage, got ${r.error}`);
    },
    completion: async () => want(typeof (await ask("completion", { max_tokens: 8 })).output === "string", "a text"),
  },
  structured: {
    response_format: async () => want(isPerson((await ask("chat", form)).output), "a person"),
  },
  tools: {
    required: async () => {
      const r = await ask("chat", { tools: [{ type: "function", function: tool }], tool_choice: "required",
        parallel_tool_calls: false });
      want(JSON.parse(r.output[0].function.arguments).city, "a city");
    },
  },
  responses: {
    text: async () => {
      const r = await ask("responses", { max_output_tokens: 200, response_format: { type: "json_schema", name: "person",
        schema: person } });
      want(isPerson(r.output), `a person, got ${r.error}`);
    },
  },
  errors: {
    "no such model": async () => want(/gpt-9/.test((await ask("chat", { model: "gpt-9" })).error), "its message"),
  },
});
report();
process.exit(0);
