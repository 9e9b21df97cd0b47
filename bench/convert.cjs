// Node's mailparser as a converter: parses two messages and makes JSON of them. Prints MB of raw message per second.
const fs = require('node:fs');
const path = require('node:path');
const { simpleParser } = require('mailparser');

const folder = path.join(__dirname, '..', 'target', 'bench');

async function convert(raw) {
  const mail = await simpleParser(raw, { skipTextToHtml: true, skipHtmlToText: true, skipImageLinks: true });
  return JSON.stringify({
    from: mail.from.text,
    to: mail.to.value.map((one) => one.address),
    subject: mail.subject,
    text: mail.text,
    html: mail.html,
    attachments: mail.attachments.map((part) => ({ filename: part.filename, content: part.content.toString('base64') })),
  });
}

async function rate(raw, seconds) {
  await convert(raw);
  let count = 0;
  const begun = process.hrtime.bigint();
  const elapsed = () => Number(process.hrtime.bigint() - begun) / 1e9;
  while (elapsed() < seconds) {
    await convert(raw);
    count += 1;
  }
  return (count * raw.length) / elapsed() / 1e6;
}

(async () => {
  const rates = {};
  for (const name of ['alternative', 'attachment']) {
    rates[name] = await rate(fs.readFileSync(path.join(folder, `${name}.eml`)), 2 * Number(process.argv[2]));
  }
  console.log(JSON.stringify(rates));
})();
