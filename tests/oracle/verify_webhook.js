// Verifies a post with the Standard Webhooks library. Standard input: {"secret", "headers", "body" (Base64)}.
// Prints "verified", or what the library says against it.
"use strict";

const { Webhook, WebhookVerificationError } = require("standardwebhooks");

const given = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const body = Buffer.from(given.body, "base64").toString("utf8");
try {
  const payload = new Webhook(given.secret).verify(body, given.headers);
  console.log(payload.type === JSON.parse(body).type ? "verified" : "another payload");
} catch (error) {
  if (!(error instanceof WebhookVerificationError)) throw error;
  console.log(error.message);
}
