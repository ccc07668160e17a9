// Mistral's own JavaScript client.
import { Mistral } from "@mistralai/mistralai";
import { base, isPerson, key, model, person, suite, throws, want, weather } from "./check.mjs";

const client = new Mistral({ serverURL: base, apiKey: key, retryConfig: { strategy: "none" } });
const messages = [{ role: "user", content: "Say something." }];
const few = { model, maxTokens: 12, temperature: 0, messages };
const tools = [{ type: "function", function: { name: "weather", description: "The weather.", parameters: weather } }];

await suite("@mistralai/mistralai", {
  chat: {
    complete: async () => {
      const r = await client.chat.complete({ ...few, randomSeed: 7, stop: ["zzzz"], safePrompt: false });
      want(typeof r.choices[0].message.content === "string" && r.usage.totalTokens > 0, "content and usage");
    },
    prefix: async () => {
      await client.chat.complete({ ...few, messages: [...messages, { role: "assistant", content: "So", prefix: true }] });
    },
  },
  stream: {
    stream: async () => {
      let text = "";
      for await (const e of await client.chat.stream(few)) text += e.data.choices[0]?.delta.content ?? "";
      want(text === (await client.chat.complete(few)).choices[0].message.content, "the same text");
    },
  },
  structured: {
    json_schema: async () => {
      const r = await client.chat.complete({ model, messages, responseFormat: { type: "json_schema",
        jsonSchema: { name: "person", schemaDefinition: person, strict: true } } });
      want(isPerson(JSON.parse(r.choices[0].message.content)), "a person");
    },
  },
  tools: {
    any: async () => {
      const r = await client.chat.complete({ model, temperature: 0, messages, tools, toolChoice: "any",
        parallelToolCalls: false });
      const call = r.choices[0].message.toolCalls[0];
      want(JSON.parse(call.function.arguments).city && r.choices[0].finishReason === "tool_calls", "a city");
      await client.chat.complete({ ...few, tools, toolChoice: "none", messages: [...messages, r.choices[0].message,
        { role: "tool", name: "weather", toolCallId: call.id, content: "sunny" }] });
    },
    streamed: async () => {
      const calls = [];
      for await (const e of await client.chat.stream({ model, temperature: 0, messages, tools, toolChoice: "any",
        parallelToolCalls: false })) calls.push(...e.data.choices[0]?.delta.toolCalls ?? []);
      want(calls.length === 1 && JSON.parse(calls[0].function.arguments).city, "a whole call");
    },
  },
  models: {
    list: async () => want((await client.models.list()).data.some((m) => m.id === model), "the model"),
    retrieve: async () => want((await client.models.retrieve({ modelId: model })).id === model, "the model"),
  },
  errors: {
    "bad value": async () => {
      const e = await throws(client.chat.complete({ ...few, temperature: 9 }));
      want(e.statusCode === 400 || /temperature/.test(e.message), "an error of temperature");
    },
  },
});
