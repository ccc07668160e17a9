// LlamaIndex's JavaScript library.
import { OpenAI } from "@llamaindex/openai";
import { tool } from "llamaindex";
import { z } from "zod";
import { base, isPerson, key, model, suite, throws, want } from "./check.mjs";

const at = { model, apiKey: key, baseURL: `${base}/v1`, temperature: 0, maxRetries: 0 };
const few = new OpenAI({ ...at, maxTokens: 12 });
const free = new OpenAI({ ...at, maxTokens: 300, additionalChatOptions: { parallel_tool_calls: false } });
const Person = z.object({ name: z.enum(["Ada", "Grace"]), born: z.number().int().min(1000).max(2000) });
const messages = [{ role: "system", content: "Be brief." }, { role: "user", content: "Hello" }];
const sum = tool({ name: "sum", description: "Adds.", execute: ({ a, b }) => a + b,
  parameters: z.object({ a: z.number().int().min(0).max(9), b: z.number().int().min(0).max(9) }) });

await suite("llamaindex, @llamaindex/openai", {
  chat: {
    chat: async () => want(typeof (await few.chat({ messages })).message.content === "string", "a text"),
    complete: async () => want(typeof (await few.complete({ prompt: "Hello" })).text === "string", "a text"),
  },
  stream: {
    chat: async () => {
      let text = "";
      for await (const chunk of await few.chat({ messages, stream: true })) text += chunk.delta;
      want(text === (await few.chat({ messages })).message.content, "the same text");
    },
  },
  structured: {
    responseFormat: async () => {
      want(isPerson(JSON.parse((await free.chat({ messages, responseFormat: Person })).message.content)), "a person");
    },
  },
  tools: {
    required: async () => {
      const llm = new OpenAI({ ...at, maxTokens: 300, additionalChatOptions: { tool_choice: "required" } });
      const call = (await llm.chat({ messages, tools: [sum] })).message.options.toolCall[0];
      want(call.name === "sum" && JSON.parse(call.input).a >= 0, "a call");
    },
    exec: async () => want((await free.exec({ messages, tools: [sum] })).newMessages.length > 0, "messages"),
  },
  errors: {
    "no such model": async () => {
      const e = await throws(new OpenAI({ ...at, model: "gpt-9" }).chat({ messages }));
      want(e.status === 404 && /gpt-9/.test(e.message), "a 404 with its message");
    },
  },
});
