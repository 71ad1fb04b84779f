// Lints a document by its own rules: an AsyncAPI document with the AsyncAPI Initiative's parser, an OpenAPI document with Spectral.
//
//   node lint.mjs FILE...
//
// Prints what is wrong, a line each, and ends with 1; with 0 if nothing is.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";
import spectral from "@stoplight/spectral-core";
import { oas } from "@stoplight/spectral-rulesets";

const OPENAPI_RULES = {
  extends: [oas],
  rules: {
    // Each operation has a summary; a description stands where there is more to say.
    "operation-description": "off",
    // The body of a command is found by the command's name.
    "oas3-unused-component": "off",
    // Who runs a market is whom to write to, and that is not known here.
    "info-contact": "off",
  },
};

// AsyncAPI 3.1 adds nothing that is used here, and fewer programs read it than 3.0.
const ASYNCAPI_SILENT = new Set(["asyncapi-latest-version"]);

async function lint(text) {
  if ("asyncapi" in JSON.parse(text)) {
    const { diagnostics } = await new Parser().parse(text);
    return diagnostics.filter((found) => !ASYNCAPI_SILENT.has(found.code));
  }
  const linter = new spectral.Spectral();
  linter.setRuleset(new spectral.Ruleset(OPENAPI_RULES, { severity: "recommended" }));
  return linter.run(text);
}

let wrong = 0;
for (const file of process.argv.slice(2)) {
  for (const { code, message, path, range } of await lint(readFileSync(file, "utf8"))) {
    wrong += 1;
    console.log(`${file}:${range.start.line + 1}: ${code}: ${message} (${path.join(".")})`);
  }
}
process.exit(wrong === 0 ? 0 : 1);
