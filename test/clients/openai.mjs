// OpenAI's JavaScript client.
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { base, isPerson, key, model, person, suite, throws, want, weather } from "./check.mjs";

const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: key, maxRetries: 0 });
const messages = [{ role: "user", content: "Say something." }];
const few = { model, max_tokens: 12, temperature: 0 };
const ask = { model, temperature: 0 };
const one = { ...ask, parallel_tool_calls: false };
const Person = z.object({ name: z.enum(["Ada", "Grace"]), born: z.number().int().min(1000).max(2000) });
const tools = [{ type: "function", function: { name: "weather", description: "The weather.", parameters: weather } }];

await suite("openai (JavaScript)", {
  chat: {
    create: async () => {
      const r = await client.chat.completions.create({ ...few, messages, logprobs: true, top_logprobs: 2 });
      want(typeof r.choices[0].message.content === "string" && r.usage.total_tokens > 0, "content and usage");
      const text = Buffer.from(r.choices[0].logprobs.content.flatMap((t) => t.bytes)).toString();
      want(text === r.choices[0].message.content, "log-probabilities that add up to the content");
    },
    "several answers": async () => {
      const r = await client.chat.completions.create({ ...few, temperature: 1, n: 3, messages });
      want(r.choices.length === 3, "three choices");
    },
    "text completions": async () => {
      const r = await client.completions.create({ ...few, prompt: "Once", echo: true });
      want(r.choices[0].text.startsWith("Once"), "the prompt");
    },
  },
  stream: {
    "async iterator": async () => {
      let text = "";
      let usage;
      const stream = await client.chat.completions.create({
        ...few, messages, stream: true, stream_options: { include_usage: true } });
      for await (const chunk of stream) {
        text += chunk.choices[0]?.delta?.content ?? "";
        usage = chunk.usage ?? usage;
      }
      const whole = await client.chat.completions.create({ ...few, messages });
      want(text === whole.choices[0].message.content && usage.completion_tokens > 0, "the same text, and usage");
    },
    "stream helper": async () => {
      const stream = client.chat.completions.stream({ ...few, messages });
      let pieces = "";
      stream.on("content", (delta) => { pieces += delta; });
      const final = await stream.finalChatCompletion();
      want(pieces === final.choices[0].message.content, "pieces that make the content");
    },
    "stop reading": async () => {
      const stream = await client.chat.completions.create({ ...few, max_tokens: 400, messages, stream: true });
      for await (const _ of stream) break;
    },
  },
  structured: {
    parse: async () => {
      const r = await client.chat.completions.parse({
        ...ask, messages, response_format: zodResponseFormat(Person, "person") });
      want(isPerson(r.choices[0].message.parsed), "a person");
    },
    json_schema: async () => {
      const r = await client.chat.completions.create({
        ...ask, messages, response_format: { type: "json_schema", json_schema: { name: "person", schema: person } } });
      want(isPerson(JSON.parse(r.choices[0].message.content)), "a person");
    },
    "streamed parse": async () => {
      const stream = client.chat.completions.stream({
        ...ask, messages, response_format: zodResponseFormat(Person, "person") });
      const final = await stream.finalChatCompletion();
      want(isPerson(final.choices[0].message.parsed), "a person");
    },
  },
  tools: {
    required: async () => {
      const r = await client.chat.completions.create({ ...one, messages, tools, tool_choice: "required" });
      const call = r.choices[0].message.tool_calls[0];
      want(call.function.name === "weather" && r.choices[0].finish_reason === "tool_calls", "a call");
      want(["Paris", "Lima"].includes(JSON.parse(call.function.arguments).city), "a city");
    },
    runTools: async () => {
      let asked = "";
      const runner = client.chat.completions.runTools({
        ...few, max_tokens: 300, messages, parallel_tool_calls: false,
        tool_choice: { type: "function", function: { name: "weather" } },
        tools: [{ type: "function", function: { name: "weather", description: "The weather.", parameters: weather,
          parse: JSON.parse, function: ({ city }) => { asked = city; return "sunny"; } } }] });
      await runner.finalChatCompletion();
      want(["Paris", "Lima"].includes(asked), "a call of the function");
    },
    "streamed": async () => {
      const stream = client.chat.completions.stream({ ...one, messages, tools, tool_choice: "required" });
      const final = await stream.finalChatCompletion();
      want(JSON.parse(final.choices[0].message.tool_calls[0].function.arguments).city, "a city");
    },
  },
  responses: {
    create: async () => {
      const r = await client.responses.create({ model, input: "Hello", max_output_tokens: 12, temperature: 0 });
      want(typeof r.output_text === "string" && r.usage.output_tokens > 0, "text and usage");
      const shown = await client.responses.retrieve(r.id);
      want(shown.output_text === r.output_text, "the same response");
      const next = await client.responses.create({
        model, input: "Go on", previous_response_id: r.id, max_output_tokens: 4 });
      want(next.usage.input_tokens > r.usage.input_tokens, "a longer prompt");
      let items = 0;
      for await (const _ of client.responses.inputItems.list(next.id)) items++;
      want(items === 1, "one item");
      await client.responses.delete(r.id);
      want((await throws(client.responses.retrieve(r.id))).status === 404, "a 404 for a deleted response");
    },
    stream: async () => {
      const stream = client.responses.stream({ model, input: "Hello", max_output_tokens: 12, temperature: 0 });
      let text = "";
      let next = 0;
      stream.on("event", (e) => want(e.sequence_number === next++, "events in order"));
      stream.on("response.output_text.delta", (e) => { text += e.delta; });
      const final = await stream.finalResponse();
      want(text === final.output_text && next > 5, "pieces that make the text");
    },
    parse: async () => {
      const r = await client.responses.parse({ ...ask, input: "Who?", text: { format: zodTextFormat(Person, "person") } });
      want(isPerson(r.output_parsed), "a person");
    },
    tools: async () => {
      const r = await client.responses.create({ ...one, input: "Weather?", tool_choice: "required",
        tools: [{ type: "function", name: "weather", parameters: weather, strict: true }] });
      const call = r.output.find((i) => i.type === "function_call");
      want(JSON.parse(call.arguments).city, "a city");
      await client.responses.create({ model, previous_response_id: r.id, max_output_tokens: 4,
        input: [{ type: "function_call_output", call_id: call.call_id, output: "sunny" }] });
    },
    "streamed tools": async () => {
      const stream = client.responses.stream({ ...one, input: "Weather?", tool_choice: "required",
        tools: [{ type: "function", name: "weather", parameters: weather, strict: true }] });
      const final = await stream.finalResponse();
      want(JSON.parse(final.output.find((i) => i.type === "function_call").arguments).city, "a city");
    },
  },
  models: {
    list: async () => {
      const names = [];
      for await (const m of client.models.list()) names.push(m.id);
      want(names.includes(model), "the model");
      want((await client.models.retrieve(model)).id === model, "the model");
    },
  },
  errors: {
    "bad value": async () => {
      const e = await throws(client.chat.completions.create({ model, messages, temperature: 9 }));
      want(e instanceof OpenAI.BadRequestError && e.param === "temperature", "a BadRequestError of temperature");
    },
    "no such model": async () => {
      const e = await throws(client.chat.completions.create({ model: "gpt-9", messages }));
      want(e instanceof OpenAI.NotFoundError && e.code === "model_not_found", "a NotFoundError");
    },
    "of a response": async () => {
      const e = await throws(client.responses.create({ model, input: "a", previous_response_id: "resp_none" }));
      want(e instanceof OpenAI.BadRequestError && e.code === "previous_response_not_found", "a BadRequestError");
    },
  },
});
