// Sends the letter with nodemailer's connection pool. ../README.md says what the arguments and variables are.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const nodemailer = require("nodemailer");

const [folder, host, port, count] = process.argv.slice(2);
const letter = JSON.parse(fs.readFileSync(path.join(folder, "letter.json"), "utf8"));
const file = (part) => ({
  path: path.join(folder, part.path),
  filename: part.filename,
  contentType: part.type,
});

const { RELAY_TLS, RELAY_CA, RELAY_USER, RELAY_PASSWORD, RELAY_MECHANISM } = process.env;
const { RELAY_TLS_MAX, RELAY_CONNECTIONS } = process.env;

async function main() {
  const transport = nodemailer.createTransport({
    pool: true,
    maxConnections: Number(RELAY_CONNECTIONS || 2),
    maxMessages: Infinity,
    host,
    port: Number(port),
    secure: RELAY_TLS === "implicit",
    requireTLS: RELAY_TLS === "starttls",
    tls: {
      ca: RELAY_CA && fs.readFileSync(RELAY_CA),
      ...(RELAY_TLS_MAX === "1.2" && { maxVersion: "TLSv1.2" }),
    },
    ...(RELAY_USER && { auth: { user: RELAY_USER, pass: RELAY_PASSWORD } }),
    ...(RELAY_MECHANISM && { authMethod: RELAY_MECHANISM }),
  });
  const sends = Array.from({ length: Number(count) }, (_, number) =>
    transport.sendMail({
      from: letter.from,
      to: letter.to,
      cc: letter.cc,
      bcc: letter.bcc,
      subject: letter.subject,
      messageId: `<${number}.${letter.message_id}>`,
      text: letter.text,
      html: letter.html,
      attachments: [
        { ...file(letter.image), cid: letter.image.cid, contentDisposition: "inline" },
        file(letter.attachment),
      ],
    }),
  );
  for (const sent of await Promise.all(sends)) {
    if (sent.rejected.length > 0) throw new Error(`refused: ${sent.rejected}`);
  }
  transport.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
