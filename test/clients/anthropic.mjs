// Anthropic's JavaScript client.
import Anthropic from "@anthropic-ai/sdk";
import { base, isPerson, key, model, person, suite, throws, want, weather } from "./check.mjs";

const client = new Anthropic({ baseURL: base, apiKey: key, maxRetries: 0 });
const messages = [{ role: "user", content: "Say something." }];
const few = { model, max_tokens: 12, temperature: 0, messages };
const tools = [{ name: "weather", description: "The weather.", input_schema: weather }];

await suite("@anthropic-ai/sdk", {
  chat: {
    create: async () => {
      const r = await client.messages.create({ ...few, system: [{ type: "text", text: "Be brief.",
        cache_control: { type: "ephemeral" } }], stop_sequences: ["zzzz"], metadata: { user_id: "u" }, top_k: 5 });
      want(r.content[0].type === "text" && r.usage.output_tokens > 0 && r.role === "assistant", "text and usage");
      want(["end_turn", "max_tokens"].includes(r.stop_reason), "a reason");
      want(typeof r._request_id === "string" && r._request_id !== "", "the request's id");
    },
    "a conversation": async () => {
      const r = await client.messages.create(few);
      await client.messages.create({ ...few, messages: [...messages, { role: "assistant", content: r.content },
        { role: "user", content: [{ type: "text", text: "Go on" }] }] });
    },
    countTokens: async () => {
      const { input_tokens } = await client.messages.countTokens({ model, messages });
      const { usage } = await client.messages.create(few);
      want(input_tokens === usage.input_tokens + usage.cache_read_input_tokens, "the same number of tokens");
    },
  },
  stream: {
    "async iterator": async () => {
      let text = "";
      for await (const e of await client.messages.create({ ...few, stream: true })) {
        if (e.type === "content_block_delta") text += e.delta.text;
      }
      want(text === (await client.messages.create(few)).content[0].text, "the same text");
    },
    "stream helper": async () => {
      let text = "";
      const stream = client.messages.stream(few).on("text", (piece) => { text += piece; });
      const final = await stream.finalMessage();
      want(text === final.content[0].text && final.usage.output_tokens > 0, "pieces that make the text");
    },
  },
  structured: {
    output_config: async () => {
      const r = await client.messages.create({ ...few, max_tokens: 200, output_config: { format: { type: "json_schema",
        schema: person } } });
      want(isPerson(JSON.parse(r.content[0].text)), "a person");
    },
  },
  tools: {
    any: async () => {
      const r = await client.messages.create({ ...few, max_tokens: 200, tools, tool_choice: { type: "any",
        disable_parallel_tool_use: true } });
      const use = r.content.find((b) => b.type === "tool_use");
      want(["Paris", "Lima"].includes(use.input.city) && r.stop_reason === "tool_use", "a city");
      await client.messages.create({ ...few, tools, tool_choice: { type: "none" }, messages: [...messages,
        { role: "assistant", content: r.content }, { role: "user", content: [{ type: "tool_result",
          tool_use_id: use.id, content: "sunny" }, { type: "text", text: "So?" }] }] });
    },
    streamed: async () => {
      const stream = client.messages.stream({ ...few, max_tokens: 200, tools,
        tool_choice: { type: "tool", name: "weather" } });
      const use = (await stream.finalMessage()).content.find((b) => b.type === "tool_use");
      want(["Paris", "Lima"].includes(use.input.city), "a city");
    },
  },
  models: {
    list: async () => {
      const names = [];
      for await (const m of client.models.list()) names.push(m.id);
      want(names.includes(model), "the model");
    },
  },
  errors: {
    "bad value": async () => {
      const e = await throws(client.messages.create({ ...few, temperature: 9 }));
      want(e instanceof Anthropic.BadRequestError && e.error.error.type === "invalid_request_error", "a BadRequestError");
    },
    "no such model": async () => {
      want((await throws(client.messages.create({ ...few, model: "claude" }))) instanceof Anthropic.NotFoundError,
        "a NotFoundError");
    },
  },
});
