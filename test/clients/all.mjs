// Runs every suite against a service: node all.mjs http://127.0.0.1:PORT MODEL
import { report } from "./check.mjs";

await Promise.all(["openai", "ai", "langchain", "mistral", "anthropic", "llamaindex", "instructor"].map((name) => import(`./${name}.mjs`)));
report();
process.exit(0);
