// Sends the letter with nodemailer's connection pool. Arguments: folder with letter.json, host, port, how many times.
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

async function main() {
  const transport = nodemailer.createTransport({
    pool: true,
    maxConnections: 2,
    host,
    port: Number(port),
    secure: false,
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
