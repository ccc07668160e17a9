// The AI SDK, with its provider for OpenAI, which asks /v1/responses, with that for compatible servers, and with those
// for Anthropic and Mistral.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createMistral } from "@ai-sdk/mistral";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, jsonSchema, stepCountIs, streamObject, streamText, tool } from "ai";
import { base, isPerson, key, model, person, suite, throws, want, weather } from "./check.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;

const cities = ["Paris", "Lima"];

function features(provider, responses) {
  const few = { model: provider(model), maxOutputTokens: 12, temperature: 0, maxRetries: 0, prompt: "Say something." };
  const ask = { ...few, maxOutputTokens: undefined };
  const tools = { weather: tool({ description: "The weather.", inputSchema: jsonSchema(weather),
    execute: async ({ city }) => `sunny in ${city}` }) };
  return {
    chat: {
      generateText: async () => {
        const r = await generateText(few);
        want(typeof r.text === "string" && r.usage.outputTokens > 0, "text and usage");
      },
      "a conversation": async () => {
        const first = await generateText(few);
        await generateText({ ...few, prompt: undefined, system: "Be brief.", messages: [
          { role: "user", content: "Hello" }, ...first.response.messages, { role: "user", content: "Go on" }] });
      },
    },
    stream: {
      streamText: async () => {
        const r = streamText(few);
        let text = "";
        for await (const piece of r.textStream) text += piece;
        want(text.trim() === (await generateText(few)).text.trim(), "the same text");
        want((await r.usage).outputTokens > 0, "usage");
      },
    },
    structured: {
      generateObject: async () => {
        want(isPerson((await generateObject({ ...ask, schema: jsonSchema(person) })).object), "a person");
      },
      streamObject: async () => {
        const r = streamObject({ ...ask, schema: jsonSchema(person) });
        for await (const _ of r.partialObjectStream);
        want(isPerson(await r.object), "a person");
      },
      array: async () => {
        const r = await generateObject({ ...ask, output: "array", schema: jsonSchema(weather), seed: 3, temperature: 1 });
        want(Array.isArray(r.object) && r.object.every((e) => cities.includes(e.city)), "cities");
      },
      enum: async () => {
        want(cities.includes((await generateObject({ ...ask, output: "enum", enum: cities })).object), "a city");
      },
    },
    tools: {
      required: async () => {
        const r = await generateText({ ...ask, tools, toolChoice: "required", stopWhen: stepCountIs(1) });
        want(cities.includes(r.toolCalls[0].input.city), "a city");
      },
      "a loop": async () => {
        const r = await generateText({ ...ask, maxOutputTokens: 300, tools, stopWhen: stepCountIs(2),
          providerOptions: { openai: { parallelToolCalls: false }, here: { parallel_tool_calls: false },
            anthropic: { disableParallelToolUse: true }, mistral: { parallelToolCalls: false } },
          prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? "required" : "none" }) });
        want(r.steps.length === 2 && cities.includes(r.steps[0].toolCalls[0].input.city), "two steps");
      },
      streamed: async () => {
        const r = streamText({ ...ask, tools, toolChoice: { type: "tool", toolName: "weather" },
          stopWhen: stepCountIs(1) });
        want(cities.includes((await r.toolCalls)[0].input.city), "a city");
      },
    },
    ...(responses ? { responses: {
      "previousResponseId": async () => {
        const r = await generateText(few);
        const id = r.providerMetadata.openai.responseId;
        await generateText({ ...few, providerOptions: { openai: { previousResponseId: id } } });
      },
      "nothing kept": async () => {
        await generateText({ ...few, providerOptions: { openai: { store: false } } });
      },
    } } : {}),
    errors: {
      "no such model": async () => {
        const e = await throws(generateText({ ...few, model: provider("gpt-9") }));
        // The provider for Mistral says who it is in streams only, and reads no message of errors in OpenAI's shape.
        want(e.statusCode === 404 && (e.message + e.responseBody).includes("gpt-9"), "a 404 with its message");
      },
    },
  };
}

const openai = createOpenAI({ baseURL: `${base}/v1`, apiKey: key });
const compatible = createOpenAICompatible({ name: "here", baseURL: `${base}/v1`, apiKey: key,
  supportsStructuredOutputs: true, includeUsage: true });

await suite("ai, @ai-sdk/openai", features(openai, true));
await suite("ai, @ai-sdk/openai-compatible", features(compatible));
await suite("ai, @ai-sdk/anthropic", features(createAnthropic({ baseURL: `${base}/v1`, apiKey: key })));
await suite("ai, @ai-sdk/mistral", features(createMistral({ baseURL: `${base}/v1`, apiKey: key })));
