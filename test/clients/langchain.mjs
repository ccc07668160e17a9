// LangChain's JavaScript client.
import { HumanMessage, SystemMessage, ToolMessage } from "@langchain/core/messages";
import { ChatOpenAI, OpenAI } from "@langchain/openai";
import { z } from "zod";
import { base, isPerson, key, model, person, suite, throws, want, weather } from "./check.mjs";

const at = { model, apiKey: key, maxRetries: 0, temperature: 0, configuration: { baseURL: `${base}/v1` } };
const few = new ChatOpenAI({ ...at, maxTokens: 12 });
const free = new ChatOpenAI(at);
const Person = z.object({ name: z.enum(["Ada", "Grace"]), born: z.number().int().min(1000).max(2000) });
const tools = [{ type: "function", function: { name: "weather", description: "The weather.", parameters: weather } }];

await suite("@langchain/openai", {
  chat: {
    invoke: async () => {
      const r = await few.invoke([new SystemMessage("Be brief."), new HumanMessage("Hello")]);
      want(typeof r.content === "string" && r.usage_metadata.output_tokens > 0, "content and usage");
    },
    batch: async () => want((await few.batch(["a", "b", "c"])).length === 3, "three answers"),
    "text completions": async () => {
      want(typeof (await new OpenAI({ ...at, maxTokens: 8 }).invoke("Once")) === "string", "a text");
    },
  },
  stream: {
    stream: async () => {
      let text = "";
      for await (const chunk of await few.stream("Hello")) text += chunk.content;
      want(text === (await few.invoke("Hello")).content, "the same text");
    },
  },
  structured: {
    jsonSchema: async () => {
      want(isPerson(await free.withStructuredOutput(Person, { name: "person", method: "jsonSchema" }).invoke("Who?")),
        "a person");
    },
    "a plain schema": async () => {
      want(isPerson(await free.withStructuredOutput({ title: "person", ...person }, { method: "jsonSchema" })
        .invoke("Who?")), "a person");
    },
    jsonMode: async () => { // any object: with some seed a model without a clue comes to its end in time
      for (let seed = 0; seed < 100; seed++) {
        const some = new ChatOpenAI({ ...at, temperature: 1, maxTokens: 24, modelKwargs: { seed } });
        try {
          const v = await some.withStructuredOutput(z.object({}).passthrough(), { method: "jsonMode" }).invoke("JSON?");
          want(typeof v === "object", "an object");
          return;
        } catch (e) {
          if (e.status) throw e; // the rest is JSON that max_tokens has cut
        }
      }
      want(false, "an object");
    },
  },
  tools: {
    functionCalling: async () => {
      want(isPerson(await free.withStructuredOutput(Person, { name: "person", method: "functionCalling" })
        .invoke("Who?")), "a person");
    },
    bindTools: async () => {
      const bound = free.bindTools(tools, { tool_choice: "weather" });
      const r = await bound.invoke("Weather?");
      want(["Paris", "Lima"].includes(r.tool_calls[0].args.city), "a city");
      await few.bindTools(tools, { tool_choice: "none" }).invoke([new HumanMessage("Weather?"), r,
        new ToolMessage({ content: "sunny", tool_call_id: r.tool_calls[0].id })]);
    },
    streamed: async () => {
      let all;
      for await (const chunk of await free.bindTools(tools, { tool_choice: "required" }).stream("Weather?")) {
        all = all ? all.concat(chunk) : chunk;
      }
      want(["Paris", "Lima"].includes(all.tool_calls[0].args.city), "a city");
    },
  },
  responses: {
    useResponsesApi: async () => {
      const r = await new ChatOpenAI({ ...at, maxTokens: 12, useResponsesApi: true }).invoke("Hello");
      want(r.usage_metadata.output_tokens > 0 && r.response_metadata.id.startsWith("resp_"), "usage and an id");
    },
    streamed: async () => {
      const asked = new ChatOpenAI({ ...at, maxTokens: 12, useResponsesApi: true });
      let all;
      for await (const chunk of await asked.stream("Hello")) all = all ? all.concat(chunk) : chunk;
      want(all.text === (await asked.invoke("Hello")).text, "the same text");
    },
  },
  errors: {
    "bad value": async () => {
      const e = await throws(new ChatOpenAI({ ...at, topP: 7 }).invoke("Hello"));
      want(e.status === 400 && e.message.includes("top_p"), "a 400 of top_p");
    },
  },
});
